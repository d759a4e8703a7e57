"""Options as JSON, which is what the core reads them from."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, cast

from ip_risk import _native
from ip_risk._errors import option, shown

_FOREIGN = "\0"
"""Stands before a value that JSON cannot hold; the core then refuses it as what it was."""


def to_json(options: Mapping[str, Any]) -> str:
    """Write options as JSON. What is ``None`` was not written."""
    try:
        return json.dumps(_plain(options))
    except RecursionError:
        raise option("the options must be plain data without circles") from None


def _plain(value: Any) -> Any:
    if isinstance(value, bool) or value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else f"{_FOREIGN}{value}"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        items = cast("Mapping[Any, Any]", value).items()
        return {str(key): _plain(item) for key, item in items if item is not None}
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
        return [_plain(item) for item in cast("Sequence[Any]", value)]
    return f"{_FOREIGN}{shown(value)}"


def refuse_unknown(options: Mapping[str, Any], known: Sequence[str], path: str = "") -> None:
    """Refuse options that do not exist, and name the nearest one that does."""
    for key in options:
        if key not in known:
            _native.refuse_option(path + key, key, list(known))
