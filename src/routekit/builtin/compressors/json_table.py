"""Turns lists of like objects in tool results into columns and rows: each key is then said once."""

from __future__ import annotations

from routekit.builtin.compressors._json import as_tables, read_json, write_json
from routekit.builtin.compressors._turns import rewritten
from routekit.plugin import Compression, Compressor, CompressorPlugin
from routekit.types import Message, RouteRequest


class JsonTable(Compressor):
    """``[{"id": 1, "name": "a"}, ...]`` becomes ``{"columns": ["id", "name"], "rows": [[1, "a"], ...]}``.

    Only in tool results that are JSON as a whole, only for three objects or more with the same keys, and
    only where it is smaller. Values, numbers as written and the order of rows stay; it is JSON still.
    """

    lossless = True
    stable = True

    def compress(self, request: RouteRequest, target_tokens: int | None) -> Compression:
        smaller, changed = rewritten(request, lambda _, message: _tabled(message), frozenset({"tool", "function"}))
        removed = "keys that rows repeat" if changed else ""
        return Compression(request=smaller, lossless=True, removed=removed)


def tabled(text: str) -> str:
    """The JSON text with its tables, where that is smaller; any other text as it is."""
    if "{" not in text:
        return text
    try:
        value = read_json(text)
        found = as_tables(value)
        if found == value:
            return text
        small = write_json(found)
    except (ValueError, RecursionError):
        return text
    return small if len(small) < len(text) else text


def _tabled(message: Message) -> Message:
    content = message.get("content")
    if not isinstance(content, str):
        return message
    small = tabled(content)
    return message if small is content else {**message, "content": small}


PLUGIN = CompressorPlugin(
    name="json-table",
    factory=lambda options, context: JsonTable(),
    summary="Writes lists of like objects in tool results as columns and rows; loses nothing.",
)
