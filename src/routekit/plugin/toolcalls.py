"""Pure: the tool calls of a stream, told apart whatever their deltas say about themselves.

Endpoints that speak Chat Completions disagree on little as much as on this: all calls at index 0, ids
and names repeated in each delta, no ids, arguments as objects, arguments before the name, the whole
once more at the end. What leaves here is what OpenAI sends, so that whoever adds deltas up by index is right.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Mapping
from typing import Any

_OWN = frozenset({"index", "id", "type", "function", "custom", "name", "arguments"})
_CHECKS = 32
"""So often is the text of one call parsed to see whether it is whole; an endpoint cannot make it cost more."""


def new_call_id() -> str:
    """An id for a call that came without one, of the form that OpenAI's have."""
    return f"call_{secrets.token_hex(12)}"


def as_json_text(value: Any) -> str:
    """Arguments as the text that Chat Completions has for them, where a server sends the object itself.

    >>> as_json_text({"city": "Oslo"}), as_json_text('{"a"'), as_json_text(None)
    ('{"city":"Oslo"}', '{"a"', '')
    """
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if value == [] or value == ():  # an empty object, from languages that know no difference
        value = {}
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
    except (TypeError, ValueError, RecursionError):  # a plugin's objects: keys that are no text, cycles
        return ""


def listed(calls: Any) -> list[Mapping[str, Any]]:
    """The calls that are there, where a list of objects should be."""
    if isinstance(calls, Mapping):
        calls = [calls]
    return [call for call in calls if isinstance(call, Mapping)] if isinstance(calls, list | tuple) else []


def body_of(call: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """ "function" or "custom", and what is under it. Some servers leave that level out."""
    custom = call.get("custom")
    if isinstance(custom, Mapping):
        return "custom", custom
    function = call.get("function")
    if isinstance(function, Mapping):
        return "function", function
    return "function", {key: call[key] for key in ("name", "arguments") if key in call}


class _Call:
    """One call: its place among them, what was said of it so far, and the index that its endpoint gave it."""

    __slots__ = ("checks", "given", "given_id", "id", "made", "name", "pieces", "place", "size", "turn")

    def __init__(self, place: int, given: int | None) -> None:
        self.place, self.given = place, given
        self.id: str | None = None
        self.given_id = ""
        self.made = False
        self.name = ""
        self.pieces: list[str] = []
        self.size = self.checks = 0
        self.turn = -1

    def is_whole(self) -> bool:
        """Whether the arguments so far are a JSON object, to which nothing can be added."""
        if not self.pieces or self.checks >= _CHECKS or not self.pieces[-1].rstrip().endswith("}"):
            return False
        self.checks += 1
        try:
            return isinstance(json.loads("".join(self.pieces)), dict)
        except (ValueError, RecursionError):
            return False

    def repeats(self, piece: str) -> bool:
        """Whether `piece` says once more what is there already in full."""
        return self.size > 1 and len(piece) == self.size and "".join(self.pieces) == piece and self.is_whole()


class ToolCalls:
    """Reads the `tool_calls` of one stream's deltas in turn. `offered` are the names of the request's tools.

    Calls are told apart by their ids first, then by their indexes, then by what fits. What comes out has
    indexes from 0 in the order of appearance; id and type once; a name in full, once; arguments as pieces of
    JSON text that add up. A call without an id gets one.

    >>> calls = ToolCalls()
    >>> calls.read([{"index": 0, "id": "a", "function": {"name": "f", "arguments": {"x": 1}}}])
    [{'index': 0, 'id': 'a', 'type': 'function', 'function': {'name': 'f', 'arguments': '{"x":1}'}}]
    >>> calls.read([{"index": 0, "id": "b", "function": {"name": "f", "arguments": "{}"}}])[0]["index"]
    1
    """

    __slots__ = ("_by_id", "_by_index", "_calls", "_offered", "_turn")

    def __init__(self, offered: Iterable[str] = ()) -> None:
        self._offered = frozenset(offered)
        self._calls: list[_Call] = []
        self._by_id: dict[str, _Call] = {}
        self._by_index: dict[int, _Call] = {}
        self._turn = 0

    def __bool__(self) -> bool:
        return bool(self._calls)

    def read(self, deltas: Any) -> list[dict[str, Any]]:
        """The deltas as they should have been; those that say nothing are left out."""
        self._turn += 1
        return [made for delta in listed(deltas) if (made := self._one(delta)) is not None]

    def end(self) -> list[dict[str, Any]]:
        """Deltas with ids for the calls that have none by now."""
        out = []
        for call in self._calls:
            if call.id is None:
                call.id, call.made = new_call_id(), True
                out.append({"index": call.place, "id": call.id, "type": "function"})
        return out

    def _one(self, delta: Mapping[str, Any]) -> dict[str, Any] | None:
        kind, body = body_of(delta)
        text = "input" if kind == "custom" else "arguments"
        call_id, name, piece = _text(delta.get("id")), _text(body.get("name")), as_json_text(body.get(text))
        index = _index(delta.get("index"))
        extras = {key: value for key, value in delta.items() if key not in _OWN and value is not None}
        inner = {key: value for key, value in body.items() if key not in ("name", text) and value is not None}
        if not (call_id or name or piece or extras or inner):
            return None
        call = self._call(call_id, index, name, piece)
        call.turn = self._turn
        out: dict[str, Any] = {"index": call.place}
        first = not call.name and not call.pieces
        if call.id is None and (call_id or name):
            taken = call_id in self._by_id  # two calls under one id: whoever answers them needs two
            call.made = not call_id or taken
            call.id = new_call_id() if call.made else call_id
            out["id"] = call.id
            out["type"] = kind if kind == "custom" else _text(delta.get("type")) or kind
        if call_id:
            call.given_id = call_id
            self._by_id[call_id] = call
        said: dict[str, Any] = {}
        if name and (rest := self._rest_of_name(call, name)):
            call.name += rest
            said["name"] = rest
        if piece and not call.repeats(piece):
            call.pieces.append(piece)
            call.size += len(piece)
            said[text] = piece
        elif first and name:
            said[text] = ""
        said.update(inner)
        if said:
            out[kind] = said
        out.update(extras)
        return out if len(out) > 1 else None

    def _call(self, call_id: str, index: int | None, name: str, piece: str) -> _Call:
        """Which call a delta is about."""
        found = None if index is None else self._by_index.get(index)
        known = self._by_id.get(call_id) if call_id else None
        if known is not None:
            if found is not None:
                return found if found.given_id == call_id else known
            twice = index is not None and index != known.given and bool(name) and known.is_whole()
            return self._new(index) if twice else known
        if index is not None:
            pass
        elif call_id and name:
            found = None
        else:
            found = self._calls[-1] if self._calls else None
        if found is None or self._begins(found, call_id, name, piece):
            return self._new(index)
        return found

    def _begins(self, found: _Call, call_id: str, name: str, piece: str) -> bool:
        """Whether a delta begins another call, although its index, or none, points at `found`."""
        if call_id and found.id is not None and not found.made:
            return True
        if not name or not found.name:
            return False
        if found.turn == self._turn:
            return True  # two in one delta
        if name != found.name:
            return name in self._offered and found.name + name not in self._offered
        return piece.lstrip().startswith("{") and found.is_whole() and not found.repeats(piece)

    def _new(self, index: int | None) -> _Call:
        call = _Call(len(self._calls), index)
        self._calls.append(call)
        if index is not None:
            self._by_index[index] = call
        return call

    def _rest_of_name(self, call: _Call, name: str) -> str:
        """What of `name` is new: all of it at first; later nothing, or the rest of one that comes in pieces."""
        if not call.name:
            return name
        if name.startswith(call.name):
            return name[len(call.name) :] if name in self._offered or not self._offered else ""
        in_pieces = call.name + name in self._offered if self._offered else not call.pieces
        return name if in_pieces else ""


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _index(value: Any) -> int | None:
    if isinstance(value, str) and value.isdecimal() and len(value) < 6:
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
