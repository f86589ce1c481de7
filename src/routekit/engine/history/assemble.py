"""Pure: the pieces of a stream to a message, and a message to pieces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from routekit.engine.history.copy import copied
from routekit.plugin.deltas import PARTS, add_up
from routekit.types import CacheEntry, Chunk, Message, text_of


def message_of(chunks: Iterable[Chunk]) -> Message:
    """The message that the deltas add up to.

    >>> message_of([Chunk({"role": "assistant", "content": "a"}), Chunk({"content": "b"})])
    {'role': 'assistant', 'content': 'ab'}
    """
    return add_up(chunk.delta for chunk in chunks)  # type: ignore[return-value]  # built as one


def logprobs_of_all(chunks: Iterable[Chunk]) -> Mapping[str, Any] | None:
    """The log-probabilities of all pieces, in order."""
    out: dict[str, list[Any]] = {}
    for chunk in chunks:
        for key, entries in (chunk.logprobs or {}).items():
            out.setdefault(key, []).extend(entries)
    return out or None


def chunks_of(entry: CacheEntry) -> Iterator[Chunk]:
    """A stored answer as the stream it was, or as a single piece."""
    deltas = entry.deltas or (_delta(entry.message),)
    for delta in deltas:
        yield Chunk(copied(delta), None, None, entry.model)
    yield Chunk({}, entry.finish_reason, entry.usage, entry.model)


def _delta(message: Message) -> dict[str, Any]:
    delta: dict[str, Any] = {key: value for key, value in message.items() if value is not None}
    content = delta.get("content")
    if isinstance(content, list):
        delta["content"] = text_of(message)
        delta[PARTS] = [part for part in content if not (isinstance(part, Mapping) and part.get("type") == "text")]
    if delta.get("tool_calls"):
        delta["tool_calls"] = [{"index": index, **call} for index, call in enumerate(delta["tool_calls"])]
    return delta


def arguments_of(message: Mapping[str, Any]) -> str:
    """All that the message's tool calls pass, to be counted; whatever shape a provider gave it."""
    functions = [call.get("function") for call in message.get("tool_calls") or () if isinstance(call, Mapping)]
    passed = [function.get("arguments") for function in functions if isinstance(function, Mapping)]
    return "".join(arguments if isinstance(arguments, str) else repr(arguments) for arguments in passed if arguments)


def is_empty(message: Message) -> bool:
    """Whether nobody could use this answer: no text, no tool call, no refusal."""
    content = message.get("content")
    text = content.strip() if isinstance(content, str) else content
    return not (
        text
        or message.get("tool_calls")
        or message.get("refusal")
        or message.get("audio")
        or message.get("function_call")
    )
