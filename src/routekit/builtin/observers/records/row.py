"""A record as a row, and back: whatever a provider said is made to fit its column, so that one row spoils no other."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Mapping
from typing import Any

from routekit.types import CallRecord, Savings, Usage
from routekit.types.text import well_formed

ROW = (
    "id", "at", "day", "outcome", "strategy", "deployment", "model", "provider", "cache", "scopes", "cost_nanos",
    "cost_known", "baseline", "baseline_nanos", "routing_nanos", "compression_nanos", "caching_nanos",
    "overhead_nanos", "input_tokens", "output_tokens", "usage", "duration_s", "ttft_s", "fallbacks", "attempts",
    "decision",
)  # fmt: skip
TEXT_MOST = 1024
"""Characters of a text column."""

_WHOLE_MOST = 2**63 - 1
_LATEST = 253_402_300_799.0  # the end of the year 9999


def row_of(record: CallRecord) -> tuple[Any, ...]:
    """The columns of `ROW`."""
    savings, usage = record.savings, record.usage
    at = min(max(_number(record.at), 0.0), _LATEST)
    parts: tuple[Any, ...] = (None,) * 6
    if savings is not None:
        parts = (
            _text(savings.baseline), _whole(savings.baseline_nanos), _whole(savings.routing_nanos),
            _whole(savings.compression_nanos), _whole(savings.caching_nanos), _whole(savings.overhead_nanos),
        )  # fmt: skip
    return (
        _text(record.id), at, dt.datetime.fromtimestamp(at, dt.UTC).strftime("%Y-%m-%d"), _text(record.outcome),
        _text(record.strategy), _text_or_none(record.deployment), _text_or_none(record.model),
        _text_or_none(record.provider), _text(record.cache),
        _json({_text(kind): [_text(value) for value in values] for kind, values in record.scopes.items()}),
        _whole(record.cost_nanos), int(bool(record.cost_known)), *parts,
        _whole(usage.input_tokens), _whole(usage.output_tokens), _json(usage.to_dict()), _number(record.duration_s),
        None if record.ttft_s is None else _number(record.ttft_s), _whole(record.fallbacks),
        _json(list(record.attempts)), _json(dict(record.decision)),
    )  # fmt: skip


def record_of_row(row: tuple[Any, ...]) -> CallRecord:
    """
    Raises:
        ValueError, TypeError, LookupError: something that this class of routekit did not write.
    """
    found = dict(zip(ROW, row, strict=True))
    savings = None
    if found["baseline"] is not None:
        names = ("baseline", "baseline_nanos", "routing_nanos", "compression_nanos", "caching_nanos", "overhead_nanos")
        savings = Savings(cost_nanos=found["cost_nanos"], **{name: found[name] for name in names})
    same = (
        "id", "at", "outcome", "strategy", "deployment", "model", "provider", "cache", "cost_nanos", "duration_s",
        "ttft_s", "fallbacks",
    )  # fmt: skip
    return CallRecord(
        **{name: found[name] for name in same},
        scopes={kind: tuple(values) for kind, values in json.loads(found["scopes"]).items()},
        cost_known=bool(found["cost_known"]),
        savings=savings,
        usage=Usage(**json.loads(found["usage"])),
        attempts=tuple(json.loads(found["attempts"])),
        decision=json.loads(found["decision"]),
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        value = str(value)
    return well_formed(value[:TEXT_MOST])


def _text_or_none(value: Any) -> str | None:
    return None if value is None else _text(value)


def _whole(value: Any) -> int:
    try:
        return max(-_WHOLE_MOST, min(int(value), _WHOLE_MOST))
    except (TypeError, ValueError, OverflowError):
        return 0


def _number(value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return 0.0
    return number if math.isfinite(number) else 0.0


def _json(value: Any) -> str:
    try:
        return json.dumps(_plain(value), allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return json.dumps(None if not isinstance(value, (dict, list)) else type(value)())


def _plain(value: Any) -> Any:
    """What JSON has words for: everything else becomes its text, numbers that are none become null."""
    if isinstance(value, str):
        return well_formed(value)
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {well_formed(str(key)): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return well_formed(str(value))
