"""Scores the client address of a request from 0 to 100 before your login or payment code runs.

The answer is one word: ``allow``, ``log``, ``challenge``, ``block`` or ``hold``::

    from ip_risk import check_ip_risk

    @app.route("/login", methods=["POST"])
    @check_ip_risk
    def login():
        if getattr(g, 'require_mfa', False): ...
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from ip_risk import _errors

try:
    from ip_risk import _native
except ImportError as cause:
    raise _errors.coded(
        "ERR_IP_RISK_NATIVE",
        f"the native part of ip-risk cannot be loaded: {cause}; where it is missing or for another system, install "
        "again on this machine with `pip install --force-reinstall ip-risk`, or from source with `--no-binary ip-risk`",
    ) from cause

from ip_risk._async_checker import AsyncRiskChecker
from ip_risk._checker import RiskChecker
from ip_risk._errors import (
    ArgumentError,
    ClosedError,
    FeedsError,
    IpRiskError,
    NativeError,
    NoSourceError,
    OptionError,
    RedisError,
    UnknownPolicyError,
)
from ip_risk._guard import PASS
from ip_risk._log import Logger, LoggerOptions
from ip_risk._types import (
    Action,
    Band,
    Decision,
    Flags,
    PolicyOptions,
    Provenance,
    RequestDecision,
    RiskCheckerOptions,
    Stats,
)
from ip_risk.asgi import RiskMiddleware

if TYPE_CHECKING:
    from ip_risk.flask import RiskGate, check_ip_risk

__version__ = _native.vocabulary()["version"]

__all__ = [
    "PASS",
    "Action",
    "ArgumentError",
    "AsyncRiskChecker",
    "Band",
    "ClosedError",
    "Decision",
    "FeedsError",
    "Flags",
    "IpRiskError",
    "Logger",
    "LoggerOptions",
    "NativeError",
    "NoSourceError",
    "OptionError",
    "PolicyOptions",
    "Provenance",
    "RedisError",
    "RequestDecision",
    "RiskChecker",
    "RiskCheckerOptions",
    "RiskMiddleware",
    "Stats",
    "UnknownPolicyError",
]

# `from ip_risk import *` would look for them. What stands in for Flask may have no spec, which `find_spec` refuses.
if sys.modules.get("flask") is not None or find_spec("flask") is not None:
    __all__ += ["RiskGate", "check_ip_risk"]


def __getattr__(name: str) -> Any:
    """Load what needs Flask when it is asked for: ASGI applications have none."""
    if name in ("RiskGate", "check_ip_risk"):
        from ip_risk import flask  # noqa: PLC0415 - see above

        return getattr(flask, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
