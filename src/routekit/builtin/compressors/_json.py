"""JSON read and written so that nothing of it changes: numbers stay as they were written."""

from __future__ import annotations

import json
from collections import Counter
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
    """The value with each list of like objects turned into columns and rows; what all rows share is said once.

    Objects with other keys than most stand among the rows as they are.

    >>> as_tables([{"id": 1, "at": "x"}, {"id": 2, "at": "x"}, {"id": 3, "at": "x"}, {"id": 4}])
    {'columns': ['id'], 'rows': [[1], [2], [3], {'id': 4}], 'same_in_these_rows': {'at': 'x'}}
    """
    if isinstance(value, dict):
        return {key: as_tables(inner) for key, inner in value.items()}
    if not isinstance(value, list):
        return value
    if len(value) >= MIN_ROWS and all(isinstance(row, dict) for row in value):
        kinds = Counter(frozenset(row) for row in value)
        keys, count = kinds.most_common(1)[0]
        if keys and count >= MIN_ROWS and 2 * count >= len(value):
            return _table(value, keys)
    return [as_tables(inner) for inner in value]


def _table(rows: list[dict[str, Any]], keys: frozenset[str]) -> dict[str, Any]:
    like = [row for row in rows if row.keys() == keys]
    same = {
        key: value
        for key, value in like[0].items()
        if not isinstance(value, (dict, list)) and all(_alike(row[key], value) for row in like)
    }
    columns = [key for key in like[0] if key not in same]
    written = [[as_tables(row[c]) for c in columns] if row.keys() == keys else as_tables(row) for row in rows]
    return {"columns": columns, "rows": written, **({"same_in_these_rows": same} if same else {})}


def _alike(a: Any, b: Any) -> bool:
    return type(a) is type(b) and a == b  # 1 and true are equal in Python, and a number is read as a kind of text


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
