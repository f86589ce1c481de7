"""How long to wait, where a refusal says so in its body and not in its headers.

Google's RetryInfo (google.rpc.RetryInfo), OpenRouter's copies of its upstream's headers, fields of gateways,
and the sentences of OpenAI, Azure and Gemini ("Please try again in 1m2.5s", "retry after 20 seconds").
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

_UNITS = {"ms": 0.001, "millisecond": 0.001, "s": 1.0, "sec": 1.0, "second": 1.0, "m": 60.0, "min": 60.0,
          "minute": 60.0, "h": 3600.0, "hour": 3600.0, "hr": 3600.0, "d": 86400.0, "day": 86400.0}  # fmt: skip
_ONE = r"(\d{1,9}(?:\.\d{1,12})?)\s*(milliseconds?|ms|seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|days?|d)(?![a-z])"
_PART = re.compile(_ONE, re.IGNORECASE)
_TEXT = re.compile(
    rf"(?:try again|retry|wait|available|reset\w*)\b[^.\d]{{0,40}}?((?:{_ONE}[\s,]*){{1,4}})", re.IGNORECASE
)
_FIELDS = {"retrydelay": 1.0, "retryafter": 1.0, "retryafters": 1.0, "retryaftersecs": 1.0, "retryafterseconds": 1.0,
           "retryafterms": 0.001}  # fmt: skip
_DELAY = re.compile(rf'"retryDelay"\s*:\s*"({_ONE})"')
_DEEPEST = 6
_LONGEST = 4096
"""Characters of a text that are looked at."""


def wait_in_body(value: Any, text: str = "") -> float | None:
    """Seconds to wait, from the fields of a parsed body, else from the text of its message; None where neither says.

    >>> wait_in_body({"error": {"details": [{"retryDelay": "45.8s"}]}}), wait_in_body({}, "Please try again in 1m2s.")
    (45.8, 62.0)
    """
    found = _in_fields(value, 0)
    return found if found is not None else _in_text(text)


def wait_in_text(text: str) -> float | None:
    """Seconds to wait, from a text that may hold a body as JSON."""
    found = _DELAY.search(text[:_LONGEST])
    return _sum(_PART.findall(found[1])) if found is not None else _in_text(text)


def _in_fields(value: Any, depth: int) -> float | None:
    if depth > _DEEPEST:
        return None
    if isinstance(value, Mapping):
        for key, inner in value.items():
            unit = _FIELDS.get(re.sub(r"[^a-z]", "", key.lower())) if isinstance(key, str) else None
            if unit is not None and (seconds := _seconds(inner, unit)) is not None:
                return seconds
        value = list(value.values())
    if isinstance(value, list):
        return next((found for inner in value[:50] if (found := _in_fields(inner, depth + 1)) is not None), None)
    return None


def _seconds(value: Any, unit: float) -> float | None:
    if isinstance(value, Mapping):  # protobuf's Duration
        parts = (_number(value.get("seconds")), _number(value.get("nanos")))
        value = None if parts == (None, None) else (parts[0] or 0.0) + (parts[1] or 0.0) / 1e9
    if isinstance(value, str) and (found := _PART.findall(value)):
        return _sum(found)
    number = _number(value)
    return None if number is None else number * unit


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _in_text(text: str) -> float | None:
    found = _TEXT.search(text[:_LONGEST])
    return None if found is None else _sum(_PART.findall(found[1]))


def _sum(parts: list[tuple[str, str]]) -> float:
    return round(sum(float(number) * _unit(unit) for number, unit in parts), 6)


def _unit(word: str) -> float:
    word = word.lower()
    return _UNITS[word if word in _UNITS else word.removesuffix("s")]
