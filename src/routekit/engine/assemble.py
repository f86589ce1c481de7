"""Pure: the pieces of a stream to a message, and a message to pieces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from routekit.engine.run import copied
from routekit.types import CacheEntry, Chunk, Message

_JOINED = ("content", "refusal", "reasoning_content", "reasoning")


def message_of(chunks: Iterable[Chunk]) -> Message:
    """The message that the deltas add up to; unknown keys keep their last value.

    >>> message_of([Chunk({"role": "assistant", "content": "a"}), Chunk({"content": "b"})])
    {'role': 'assistant', 'content': 'ab'}
    """
    message: dict[str, Any] = {"role": "assistant", "content": None}
    texts: dict[str, list[str]] = {}
    calls: dict[int, dict[str, Any]] = {}
    for chunk in chunks:
        for key, value in chunk.delta.items():
            if key in _JOINED and isinstance(value, str):
                texts.setdefault(key, []).append(value)
            elif key == "tool_calls" and value:
                _add_calls(calls, value)
            elif value is not None and key != "role":
                message[key] = value
    for key, parts in texts.items():
        message[key] = "".join(parts)
    if calls:
        message["tool_calls"] = [calls[index] for index in sorted(calls)]
    return message  # type: ignore[return-value]  # built as one


def _add_calls(calls: dict[int, dict[str, Any]], deltas: Sequence[dict[str, Any]]) -> None:
    for place, delta in enumerate(deltas):
        index = delta.get("index")
        if index is None:
            index = place if delta.get("id") is None and place in calls else len(calls)
        call = calls.setdefault(index, {"id": None, "type": "function", "function": {"name": "", "arguments": ""}})
        for key, value in delta.items():
            if key == "function" and value:
                function = call["function"]
                for part, text in value.items():
                    if part in ("name", "arguments") and isinstance(text, str):
                        function[part] = function.get(part, "") + text
                    elif text is not None:
                        function[part] = text
            elif key != "index" and value is not None:
                call[key] = value


def chunks_of(entry: CacheEntry) -> Iterator[Chunk]:
    """A stored answer as the stream it was, or as a single piece."""
    deltas = entry.deltas or (_delta(entry.message),)
    for delta in deltas:
        yield Chunk(copied(delta), None, None, entry.model)
    yield Chunk({}, entry.finish_reason, entry.usage, entry.model)


def _delta(message: Message) -> dict[str, Any]:
    delta: dict[str, Any] = {key: value for key, value in message.items() if value is not None}
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
