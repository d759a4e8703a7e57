"""What the environment says. Which of it counts is the core's business."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

from ip_risk._errors import option

_SEED = Path(__file__).with_name("seed.feeds")
"""The feeds that are in the package."""


def read_surroundings() -> dict[str, str]:
    """Read the same variables as every face of ip-risk."""
    first = _variable
    found = {
        "api_key": first("IPGEO_API_KEY"),
        "redis_url": first("REDIS_URL") or None,
        "mode": first("IP_RISK_MODE"),
        "https_proxy": first("HTTPS_PROXY") or first("https_proxy") or None,
        "no_proxy": first("NO_PROXY") or first("no_proxy") or None,
        "extra_roots": _read_extra_roots(os.environ.get("NODE_EXTRA_CA_CERTS")),
        "feeds": first("IP_RISK_FEEDS") or None,
        "seed": str(_SEED) if _SEED.exists() else None,
    }
    return {name: value for name, value in found.items() if value is not None}


def _variable(name: str) -> str | None:
    value = os.environ.get(name)
    try:
        if value is not None:
            value.encode()
    except UnicodeEncodeError:
        raise option(f"the environment variable `{name}` is no text in UTF-8; set it again") from None
    return value


def _read_extra_roots(path: str | None) -> str | None:
    if not path:
        return None
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        message = "ip-risk: the file that `NODE_EXTRA_CA_CERTS` names cannot be read"
        warnings.warn(message, RuntimeWarning, stacklevel=3)
        return None
