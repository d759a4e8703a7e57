"""Lines about decisions."""

from __future__ import annotations

import atexit
import json
import logging
import os
import time
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypedDict, cast
from weakref import WeakSet

from ip_risk import _native
from ip_risk._errors import option, shown, written
from ip_risk._options import refuse_unknown

if TYPE_CHECKING:
    from ip_risk._types import BudgetEvent, Decision, Outage

_FAILED_OPEN_INTERVAL = 10.0
"""After the first line about failing open, the rest is counted for so many seconds."""
_BROKEN_INTERVAL = 60.0
"""For how many seconds a logger that failed is not used."""
_LOGGED = frozenset({"challenge", "block", "hold"})

_warned: set[str] = set()
"""Mistakes in the set-up are told once in a process."""


_logs: WeakSet[Log] = WeakSet()


@atexit.register
def _close_all() -> None:
    for log in list(_logs):
        log.close()


def _forget_all() -> None:
    for log in list(_logs):
        log.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)


class Logger(Protocol):
    """What lines go to: a logger of ``logging``, or anything with its ``log``."""

    def log(self, level: int, msg: object, *args: object) -> object:
        """Take a line."""
        ...


class LoggerOptions(TypedDict):
    """The logger called ``ip_risk``, with another way to write addresses."""

    addresses: Literal["network", "full"]


class Log:
    """Writes lines about decisions. Never raises: a logger that does is left alone for a minute."""

    def __init__(self, written: Logger | LoggerOptions | Literal[False] | None) -> None:
        self._logger, self._writes_full_addresses = _read_option(written)
        self._failed_open = 0
        self._last_failure: str | None = None
        self._count_from = 0.0
        self._broken_until = 0.0
        _logs.add(self)

    @property
    def is_silent(self) -> bool:
        """Whether nothing is ever written."""
        return self._logger is None

    def decided(self, decision: Decision, entry: str | None) -> None:
        """Write what is worth a line of a decision; ``entry`` is who answers for the list entry behind it."""
        if self._logger is None:
            return
        if decision["failed_open"]:
            self._count_failed_open(decision)
        if decision["would_be"] in _LOGGED:
            self._write_decision(decision, entry)

    def warn_once(self, code: str) -> None:
        """Write a mistake in the set-up, once."""
        if code not in _warned and self._write(logging.WARNING, _native.advice(code), {"code": code}):
            _warned.add(code)

    def noticed(self, code: str | None, message: str) -> None:
        """Write what is worth a line at the start, once.

        As a warning even where nothing is wrong: less is not shown where nobody has set ``logging`` up, and that there
        is no key is what a newcomer must see.
        """
        details = {} if code is None else {"code": code}
        if message not in _warned and self._write(logging.WARNING, message, details):
            _warned.add(message)

    def outage(self, outage: Outage) -> None:
        """Write that the provider or Redis is left alone, and that this is over."""
        since = datetime.fromtimestamp(outage["since"], timezone.utc).isoformat(timespec="milliseconds")
        details = {"code": outage["code"], "since": since}
        is_redis = outage["code"] == "ERR_IP_RISK_REDIS"
        if outage["is_over"]:
            message = "redis is used again" if is_redis else "calls are made again"
            self._write(logging.INFO, message, details)
        else:
            message = outage["advice"] if is_redis else f"calls are stopped: {outage['advice']}"
            self._write(logging.WARNING, message, details)

    def budget_used(self, event: BudgetEvent) -> None:
        """Write that so much of a limit of the budget is used."""
        message = f"{event['percent']} % of the look-ups of this {event['period']} are used"
        self._write(logging.WARNING, message, event)

    def hook_failed(self, hook: str, error: BaseException) -> None:
        """Write what code of the application raised."""
        code = "ERR_IP_RISK_HOOK"
        details = {"code": code, "hook": hook, "error": f"{type(error).__name__}: {written(error)}"}
        self._write(logging.ERROR, _native.advice(code), details)

    def not_judged(self, error: BaseException) -> None:
        """Write why requests cannot be judged as a whole, once for each reason."""
        details = {"code": getattr(error, "code", "ERR_IP_RISK_INTERNAL")}
        reason = written(error)
        if reason not in _warned and self._write(logging.ERROR, f"requests are not judged: {reason}", details):
            _warned.add(reason)

    def close(self) -> None:
        """Write what is still counted."""
        self._write_count()

    def forget(self) -> None:
        """Forget what is counted: in a process that was forked it is the other one's to write."""
        self._failed_open = 0
        self._count_from = 0.0

    def _write_decision(self, decision: Decision, entry: str | None) -> None:
        details: dict[str, Any] = {
            "address": self._address(decision["ip"]),
            "score": decision["score"],
            "reasons": ",".join(decision["reasons"]),
            "policy": decision["policy"],
            "source": decision["source"],
        }
        if entry is not None:
            details["entry"] = entry
        if decision["failure"] is not None:
            details["failure"] = decision["failure"]
        would_be = decision["would_be"]
        verb = f"would {would_be}" if decision["mode"] == "log-only" else decision["action"]
        self._write(logging.INFO if would_be == "challenge" else logging.WARNING, verb, details)

    def _address(self, address: str | None) -> str:
        if address is None:
            return "none"
        return address if self._writes_full_addresses else _native.network_of(address)

    def _count_failed_open(self, decision: Decision) -> None:
        """Count without a timer, which would need a thread: the count is written by the next one that comes."""
        self._last_failure = decision["failure"]
        now = time.monotonic()
        if now < self._count_from + _FAILED_OPEN_INTERVAL:
            self._failed_open += 1
            return
        self._count_from = now
        if self._failed_open:
            self._failed_open += 1
            self._write_count()
            return
        advice = _native.advice(decision["failure"] or "")
        details = {"failure": decision["failure"], "policy": decision["policy"]}
        self._write(logging.WARNING, f"failed open: {advice}", details)

    def _write_count(self) -> None:
        details = {"count": self._failed_open, "failure": self._last_failure}
        if self._failed_open and self._write(logging.WARNING, "failed open again", details):
            self._failed_open = 0

    def _write(self, level: int, message: str, details: Mapping[str, Any]) -> bool:
        """Whether the logger took the line."""
        if self._logger is None or time.monotonic() < self._broken_until:
            return False
        try:
            self._logger.log(level, "%s", _line(message, details))
        except Exception:  # noqa: BLE001 - it may be the one thing that is down
            self._broken_until = time.monotonic() + _BROKEN_INTERVAL
            return False
        return True


def _line(message: str, details: Mapping[str, Any]) -> str:
    values = [f"{key}={_value(value)}" for key, value in details.items()]
    return " ".join([f"ip-risk: {message}", *values])


def _value(value: object) -> str:
    """Write a value on one line and in plain characters, so that nothing in it can pass for another line."""
    text = written(value)
    is_plain = text.isascii() and text.isprintable() and " " not in text
    return text if is_plain else json.dumps(text)


def _read_option(written: object) -> tuple[Logger | None, bool]:
    default = logging.getLogger("ip_risk")
    if written is None:
        return default, False
    if written is False:
        return None, False
    if isinstance(written, Mapping):
        options = cast("Mapping[str, Any]", written)
        refuse_unknown(options, ["addresses"], "logger.")
        addresses = options.get("addresses", "network")
        if addresses not in ("network", "full"):
            raise option(f"`logger.addresses` must be 'network' or 'full', not {shown(addresses)}")
        return default, addresses == "full"
    if not callable(getattr(written, "log", None)):
        expected = "a logger of `logging`, {'addresses': ...}, or False"
        raise option(f"`logger` must be {expected}, not {shown(written)}")
    return cast("Logger", written), False
