"""Exceptions, by class and with a stable ``code``."""

from __future__ import annotations


class IpRiskError(Exception):
    """A mistake in how the package is used. What happens to a look-up is never one: see ``failure`` of a decision."""

    code: str = "ERR_IP_RISK_INTERNAL"
    """Stable; the README says of each what to do."""


class OptionError(IpRiskError, ValueError):
    """An option does not exist or cannot be used; the message names its path."""


class NoSourceError(OptionError):
    """There is neither a key nor a feed to score with, or none that may clear a policy."""


class ArgumentError(IpRiskError, TypeError):
    """An argument of a call has the wrong type."""


class ClosedError(IpRiskError, RuntimeError):
    """The checker was closed."""


class UnknownPolicyError(IpRiskError, LookupError):
    """No policy of that name is configured."""


class RedisError(IpRiskError):
    """Other processes could not be told through Redis."""


class FeedsError(IpRiskError):
    """A file of offline feeds cannot be used; the message names it."""


class NativeError(IpRiskError, ImportError):
    """The native part of the package cannot be loaded."""


_CLASSES: dict[str, type[IpRiskError]] = {
    "ERR_IP_RISK_OPTION": OptionError,
    "ERR_IP_RISK_UNKNOWN_OPTION": OptionError,
    "ERR_IP_RISK_NO_SOURCE": NoSourceError,
    "ERR_IP_RISK_ARGUMENT": ArgumentError,
    "ERR_IP_RISK_CLOSED": ClosedError,
    "ERR_IP_RISK_UNKNOWN_POLICY": UnknownPolicyError,
    "ERR_IP_RISK_REDIS": RedisError,
    "ERR_IP_RISK_FEEDS": FeedsError,
    "ERR_IP_RISK_NATIVE": NativeError,
}


def coded(code: str, message: str) -> IpRiskError:
    """Make the exception for a code; the extension calls it, too."""
    error = _CLASSES.get(code, IpRiskError)(message)
    error.code = code
    return error


def argument(message: str) -> IpRiskError:
    """Make the exception for an argument of the wrong type."""
    return coded("ERR_IP_RISK_ARGUMENT", message)


def option(message: str) -> IpRiskError:
    """Make the exception for an option that cannot be used."""
    return coded("ERR_IP_RISK_OPTION", message)


def written(value: object) -> str:
    """Write a value whose class may be anybody's."""
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - what is said of it must not fail
        return "a value that cannot be written"


def shown(value: object) -> str:
    """Write a value for a message: short, on one line. Only those of plain classes can write themselves safely."""
    most = 60
    is_plain = type(value) in (str, int, float, bool, type(None))
    text = repr(value) if is_plain else type(value).__name__
    return text if len(text) <= most else f"{text[:most]}..."
