"""Pure: the deltas of a stream, added up to the message that they are pieces of.

What Chat Completions name is added as they say; what vendors put beside it by its shape: texts are
joined, objects merged, lists go on. Costs linear time, whatever comes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

_TEXTS = frozenset(
    {"content", "refusal", "reasoning_content", "reasoning", "text", "thinking", "summary", "data", "transcript",
     "arguments", "input"}
)  # fmt: skip
"""Texts that come in pieces, which may repeat."""

_SET = frozenset(
    {"id", "type", "format", "status", "object", "name", "model", "role", "signature", "mime_type", "url", "title"}
)
"""Texts that are said whole; the newest counts."""

_GROWING = frozenset({"reasoning_details", "thinking_blocks"})
"""Lists whose items may come in pieces without an index: a piece belongs to the last item of its type."""

PARTS = "content_parts"
"""A delta's key for parts of the content that are no text. In the message they stand in `content`."""


def add_up(deltas: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The assistant's message. Of tool calls, ids and types count once, names and arguments are joined by index.

    >>> add_up([{"role": "assistant", "content": "a"}, {"content": "b", "audio": {"id": "x", "data": "QU"}},
    ...         {"audio": {"data": "JD"}}])
    {'role': 'assistant', 'content': 'ab', 'audio': {'id': 'x', 'data': 'QUJD'}}
    """
    message: dict[str, Any] = {}
    text = _Text()
    parts: list[Any] = []
    calls: dict[int, dict[str, Any]] = {}
    for delta in deltas:
        for key, value in delta.items():
            if value is None or key == "role":
                continue
            if key in ("content", PARTS):
                if value.__class__ is str and not parts:
                    text.append(value)
                elif isinstance(value, list | tuple):
                    parts.extend(value)
                elif value and isinstance(value, str):
                    parts.append({"type": "text", "text": value})
            elif key == "tool_calls":
                _add_calls(calls, value)
            else:
                message[key] = _merged(message.get(key), value, key)
    said: Any = "".join(text) if text else None
    if parts:
        said = [*([{"type": "text", "text": said}] if said else ()), *parts]
    out = {"role": "assistant", "content": said, **{key: _plain(value) for key, value in message.items()}}
    if calls:
        out["tool_calls"] = [_whole_call(_plain(calls[index])) for index in sorted(calls)]
    return out


class _Text(list[str]):
    """Pieces of a text."""


class _Items:
    """A list that grows. `places` finds the item that a piece belongs to, `seen` what is there already."""

    __slots__ = ("items", "places", "seen")

    def __init__(self) -> None:
        self.items: list[Any] = []
        self.places: dict[Any, int] = {}
        self.seen: set[str] = set()

    def add(self, values: Iterable[Any], key: str) -> None:
        for value in values:
            if not isinstance(value, Mapping):
                if not isinstance(value, str) or self._is_new(value):
                    self.items.append(value)
                continue
            index, kind = value.get("index"), str(value.get("type"))
            if isinstance(index, int):
                place = self.places.get((index, kind))
            elif key in _GROWING:
                place = self._last_of(kind)
            elif not self._is_new(value):
                continue
            else:
                place = None
            if place is None:
                self.places[index, kind] = len(self.items)
                self.items.append(_merged(None, value, key))
            else:
                self.items[place] = _merged(self.items[place], value, key)

    def _last_of(self, kind: str) -> int | None:
        """The last item, if it has that type and is not signed: then a new one begins."""
        last = self.items[-1] if self.items else None
        if not isinstance(last, dict) or _plain(last.get("type")) != kind or _plain(last.get("signature")):
            return None
        return None if kind.startswith("redacted") or kind.endswith("encrypted") else len(self.items) - 1

    def _is_new(self, value: Any) -> bool:
        """Some vendors send the whole list again in every chunk."""
        text = json.dumps(value, sort_keys=True, default=repr)
        new = text not in self.seen
        self.seen.add(text)
        return new


def _merged(old: Any, new: Any, key: str) -> Any:
    if isinstance(new, str):
        if not isinstance(old, _Text) or (key in _SET and new):
            return _Text([new])
        if key in _SET or (key not in _TEXTS and len(old) == 1 and old[0] == new):
            return old  # said again
        old.append(new)
        return old
    if isinstance(new, Mapping):
        into = old if isinstance(old, dict) else {}
        for inner, value in new.items():
            if value is not None:
                into[inner] = _merged(into.get(inner), value, inner)
        return into
    if isinstance(new, list | tuple):
        items = old if isinstance(old, _Items) else _Items()
        items.add(new, key)
        return items
    return new


def _plain(value: Any) -> Any:
    if isinstance(value, _Text):
        return "".join(value)
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, _Items):
        return [_plain(item) for item in value.items]
    return value


def _add_calls(calls: dict[int, dict[str, Any]], deltas: Any) -> None:
    for place, delta in enumerate(deltas):
        index = delta.get("index")
        if not isinstance(index, int):
            index = place if delta.get("id") is None and place in calls else len(calls)
        call = calls.setdefault(index, {})
        for key, value in delta.items():
            if key in ("function", "custom") and isinstance(value, Mapping):
                into = call.setdefault(key, {})
                for part, text in value.items():
                    if part in ("name", "arguments", "input") and isinstance(text, str):
                        into.setdefault(part, _Text()).append(text)
                    elif text is not None:
                        into[part] = _merged(into.get(part), text, part)
            elif key != "index" and value is not None:
                call[key] = _merged(call.get(key), value, key)


def _whole_call(call: dict[str, Any]) -> dict[str, Any]:
    out = {"id": call.get("id"), "type": call.get("type") or "function"}
    if "custom" not in call:
        out["function"] = {"name": "", "arguments": "", **(call.get("function") or {})}
    return {**out, **{key: value for key, value in call.items() if key not in out}}
