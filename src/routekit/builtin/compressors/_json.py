"""JSON read and written so that nothing of it changes: numbers stay as they were written."""

from __future__ import annotations

import json
from typing import Any

MIN_ROWS = 3
"""Fewer objects are not worth a table."""


class Number(str):
    """A number as it was written: 1.0 stays 1.0, and 12345678901234567890.5 keeps its digits."""

    __slots__ = ()


def read_json(text: str) -> Any:
    """An object or array, numbers as `Number`.

    Raises:
        ValueError: the text is none, or an object in it has a key twice.
    """
    stripped = text.strip()
    if not (stripped.startswith(("{", "[")) and stripped.endswith(("}", "]"))):
        raise ValueError("no JSON object or array")
    try:
        return json.loads(
            stripped, parse_float=Number, parse_int=Number, parse_constant=Number, object_pairs_hook=_unique
        )
    except RecursionError:
        raise ValueError("nested too deeply") from None


def write_json(value: Any) -> str:
    """Compact JSON.

    >>> write_json(read_json('{"a": [1.0, 2e3, true, null, "x"]}'))
    '{"a":[1.0,2e3,true,null,"x"]}'
    """
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{_text(key)}:{write_json(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(write_json, value)) + "]"
    return _text(value)


def as_tables(value: Any) -> Any:
    """The value with each list of objects that have the same keys turned into columns and rows.

    >>> as_tables([{"id": 1, "ok": True}, {"id": 2, "ok": False}, {"id": 3, "ok": True}])
    {'columns': ['id', 'ok'], 'rows': [[1, True], [2, False], [3, True]]}
    """
    if isinstance(value, dict):
        return {key: as_tables(inner) for key, inner in value.items()}
    if not isinstance(value, list):
        return value
    if len(value) >= MIN_ROWS and isinstance(value[0], dict) and value[0]:
        columns = list(value[0])
        keys = set(columns)
        if all(isinstance(row, dict) and row.keys() == keys for row in value):
            return {"columns": columns, "rows": [[as_tables(row[column]) for column in columns] for row in value]}
    return [as_tables(inner) for inner in value]


def _text(value: Any) -> str:
    written = json.dumps(value, ensure_ascii=False)
    # A lone surrogate is an escape in the source, and can be nothing else in UTF-8.
    return written if written.isascii() or not _has_surrogate(written) else json.dumps(value)


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= char <= "\udfff" for char in text)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found
