"""Pure: a stream's chunks made what the types promise, one after the other, within bounds."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from routekit.engine.attempts.normalize import (
    _LONGEST_NAME,
    _PLAIN_DELTA,
    _ROLES,
    _SAID,
    _TEXTS,
    _read,
    cleaned,
    logprobs_of,
    name_of,
)
from routekit.errors import InvalidResponseError
from routekit.plugin.finishreason import finish_reason_of
from routekit.plugin.toolcalls import ToolCalls
from routekit.types import Chunk, RouteRequest, Usage

BYTES_PER_TOKEN = 16


SLACK = 16_384
"""A token is four characters of English; its longest runs (spaces, repeated signs) are rare. An answer that has
more than 16 for each token it was allowed, and this many beside, comes from an endpoint that keeps to no limit."""


MOST_CHARACTERS = 2**24
"""Of text, of reasoning and of everything else in one answer, whatever was allowed: four million tokens."""


MOST_CHUNKS = 2**19


class Incoming:
    """The chunks of one stream, read in turn. `limit` is the most tokens that were asked for, None for any."""

    __slots__ = ("_beside", "_calls", "_chunks", "_halves", "_most", "_said", "_thought")

    def __init__(self, offered: Iterable[str] = (), limit: int | None = None) -> None:
        self._calls = ToolCalls(offered)
        self._halves: dict[Any, str] = {}
        most = MOST_CHARACTERS if limit is None else min(MOST_CHARACTERS, limit * BYTES_PER_TOKEN + SLACK)
        self._most = most
        self._chunks = self._said = self._thought = self._beside = 0

    def read(self, chunk: Any) -> Chunk:
        """The chunk as the types promise it; the very same object where it is already.

        Raises:
            TypeError: the plugin handed over something else.
            InvalidResponseError: the stream is longer than an answer to this request can be.
        """
        if not isinstance(chunk, Chunk):  # a plugin may be written without types
            raise TypeError(f"a stream yields Chunk objects, not {type(chunk).__name__}")
        self._chunks += 1
        delta, text = chunk.delta, chunk.text
        if (
            text.__class__ is str
            and text.isascii()
            and chunk.finish_reason is None
            and chunk.logprobs is None
            and not self._halves
            and delta.keys() <= _PLAIN_DELTA
            and delta.get("role") in _ROLES
            and ((content := delta.get("content")) is None or content is text)
            and (chunk.model is None or (chunk.model.__class__ is str and len(chunk.model) <= _LONGEST_NAME))
            and (chunk.usage is None or chunk.usage.__class__ is Usage)
        ):
            self._said += len(text)
            self._check()
            return chunk
        reason = finish_reason_of(chunk.finish_reason)
        delta = self._delta(delta if isinstance(delta, Mapping) else {}, reason)
        self._check()
        return Chunk(
            delta,
            reason,
            chunk.usage if isinstance(chunk.usage, Usage) else None,
            name_of(chunk.model),
            logprobs_of(chunk.logprobs),
            chunk.restart is True,
            chunk.headers if isinstance(chunk.headers, Mapping) else {},
        )

    def _delta(self, delta: Mapping[str, Any], reason: str | None) -> dict[str, Any]:
        whole = dict(delta)
        for key in _TEXTS:
            if isinstance(text := whole.get(key), str) or (reason is not None and key in self._halves):
                whole[key] = self._joined(key, text if isinstance(text, str) else "", last=reason is not None)
        out = _read(whole)
        if "role" in delta:
            out = {"role": "assistant", **out}
        calls = self._calls.read(delta["tool_calls"]) if delta.get("tool_calls") else []
        if reason is not None and self._calls:
            calls += self._calls.end()
        if calls:
            out["tool_calls"] = [self._call(call, reason) for call in calls]
        for key, value in out.items():
            if key == "content":
                self._said += len(value)
            elif key in _SAID:
                self._thought += len(value)
            elif key != "tool_calls":
                self._beside += _size(value)
        return out

    def _call(self, call: dict[str, Any], reason: str | None) -> dict[str, Any]:
        for kind, text in (("function", "arguments"), ("custom", "input")):
            said = call.get(kind)
            if said and isinstance(piece := said.get(text), str):
                said = {**said, text: self._joined((call["index"], kind), piece, last=reason is not None)}
                self._said += len(said[text])
                call = {**call, kind: said}
        return cleaned(call)  # type: ignore[no-any-return]  # a mapping stays one

    def _joined(self, key: Any, text: str, *, last: bool = False) -> str:
        """The text with the half of a character that came before it, without the one that is not whole yet."""
        if text.isascii() and not self._halves:
            return text
        text = self._halves.pop(key, "") + text
        if text and not last and "\ud800" <= text[-1] <= "\udbff":
            self._halves[key] = text[-1]
            text = text[:-1]
        return text

    def _check(self) -> None:
        if self._said > self._most or self._thought > MOST_CHARACTERS or self._beside > 4 * MOST_CHARACTERS:
            allowed = "" if self._most == MOST_CHARACTERS else " and keeps to no limit on tokens"
            raise InvalidResponseError(f"the stream is longer than any answer{allowed}; it was cut off")
        if self._chunks > MOST_CHUNKS:
            raise InvalidResponseError(f"the stream has more than {MOST_CHUNKS} chunks; it was cut off")


def incoming(request: RouteRequest, limit: int | None) -> Incoming:
    """What reads a stream that answers `request`."""
    functions = [tool.get("function") for tool in request.tools if isinstance(tool, Mapping)]
    names = [function.get("name") for function in functions if isinstance(function, Mapping)]
    return Incoming([name for name in names if isinstance(name, str)], limit)


def choices_wanted(request: RouteRequest) -> int:
    """How many answers the request asks for (``n``), wherever it says so."""
    beside = request.params.get("extra_body")
    given = (request.params.get("n"), beside.get("n") if isinstance(beside, Mapping) else None)
    return max([1, *(n for n in given if isinstance(n, int))])


def _size(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    try:
        return len(json.dumps(value))
    except (TypeError, ValueError, RecursionError):
        return 0
