"""How many tokens a request is, before anybody counted them: a likely figure and one that is not exceeded."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from routekit.types.empty import EMPTY

BYTES_PER_TOKEN = 3.8
"""English prose and code on the o200k and Llama tokenizers lie between 3.4 and 4.6."""

MESSAGE_TOKENS = 4
"""Role and separators around each message in the common chat templates."""

MEDIA_TOKENS = 1600
"""A picture of a megapixel at Anthropic's published rate; others charge less."""

UNBOUNDED = 10**9
"""The bound of what nobody can count before it is sent, such as a document or a recording: the model's window holds."""

_MESSAGE_BOUND = 16
_REQUEST_BOUND = 64
"""What templates write before the first message: gpt-oss about 65 tokens, Llama 3.1 and Qwen about 25."""

_TOOLS_BOUND = 600
"""What is written once where there are tools: 530 tokens at most by Anthropic's table, about 120 by Qwen's template."""

_IMAGE_BOUND = 48_200
"""The most that any vendor publishes for one picture: gpt-4o-mini's 2,833 tokens and 5,667 for each of eight tiles."""

_IMAGES = frozenset({"image_url", "image", "input_image"})
_TEXTS = frozenset({"text", "input_text", "output_text", "thinking", "redacted_thinking", "reasoning", "refusal",
                    "tool_use", "tool_result", "tool_call"})  # fmt: skip
_SOUNDS = frozenset({"wav", "mp3"})
"""Formats of which a second is never smaller than 1,000 bytes; vendors count 10 to 32 tokens for it."""

_PULLS_IN = frozenset({
    "web_search_options", "plugins", "previous_response_id", "conversation", "search_parameters", "data_sources",
    "prompt", "mcp_servers", "container", "enable_search", "web_search",
})  # fmt: skip
"""Parameters that let the provider read more than was sent."""


class Size(NamedTuple):
    """Tokens of a request: the likely number, one that is not exceeded, and those of a prediction, which are billed
    as output where they are not used."""

    likely: int
    bound: int
    predicted: int = 0


def count_tokens(
    messages: Iterable[Mapping[str, Any]], tools: Iterable[Mapping[str, Any]] = (), params: Mapping[str, Any] = EMPTY
) -> tuple[int, int]:
    """``(likely, bound)`` input tokens of a request; see `size_of`.

    >>> count_tokens([{"role": "user", "content": "Why is the sky blue?"}])
    (10, 100)
    """
    return size_of(messages, tools, params)[:2]


def size_of(
    messages: Iterable[Mapping[str, Any]], tools: Iterable[Mapping[str, Any]] = (), params: Mapping[str, Any] = EMPTY
) -> Size:
    """How many tokens will be read for what is sent: messages, tools, and parameters, whichever they are.

    The bound holds for byte-level tokenizers (all of GPT, Claude, Llama, Qwen, Mistral): a token is
    at least one byte, so the bytes of the text, plus what the template adds, are never exceeded. With
    parts that are neither text nor pictures, or parameters that let the provider read more, it is `UNBOUNDED` or more.
    """
    tally: _Tally | None = None
    size = count = predicted = 0
    outside = any_tools = False
    for message in messages:
        count += 1
        content = message.get("content")
        if content.__class__ is str:
            size += len(content) if content.isascii() else len(content.encode("utf-8", "surrogatepass"))
        elif content:
            tally = tally or _Tally()
            tally.content(content)
        if len(message) != 2 or "role" not in message or "content" not in message:
            for key, value in message.items():
                if key not in ("role", "content") and value is not None:
                    size += _bytes(value)
                    if key == "audio":  # an earlier answer of the provider's own, by its id
                        outside = True
    for tool in tools:
        count += 1
        any_tools = True
        size += len(_dumped(tool))
        outside = outside or _serves_itself(tool)
    for key, value in params.items():
        if value is None or value.__class__ in _SCALARS:
            outside = outside or bool(value and key in _PULLS_IN)
            continue
        if key == "prediction":
            predicted = _bytes(value)
        size += _bytes(value)
        outside = outside or key in _PULLS_IN
        any_tools = any_tools or key in ("functions", "tools")
    likely, bound = count * MESSAGE_TOKENS + 1, count * _MESSAGE_BOUND + _REQUEST_BOUND
    if tally is not None:
        size += tally.size
        likely += tally.media * MEDIA_TOKENS
        bound += tally.images * _IMAGE_BOUND + tally.sound
        outside = outside or tally.open
    if any_tools:
        bound += _TOOLS_BOUND
    if outside:
        bound += UNBOUNDED
    return Size(likely + int(size / BYTES_PER_TOKEN), bound + size, predicted)


def text_tokens(text: str) -> int:
    """The likely number of tokens of a text."""
    return int(len(text.encode("utf-8", "surrogatepass")) / BYTES_PER_TOKEN) + 1


class _Tally:
    """What content in parts adds up to: bytes of text, pictures, bytes of sound, and whether nobody can tell."""

    __slots__ = ("images", "media", "open", "size", "sound")

    def __init__(self) -> None:
        self.size = self.images = self.media = self.sound = 0
        self.open = False

    def content(self, content: Any) -> None:
        if isinstance(content, Mapping):
            self.part(content)
        elif isinstance(content, (list, tuple)):
            for part in content:
                self.part(part)
        else:
            self.size += _bytes(content)

    def part(self, part: Any) -> None:
        if not isinstance(part, Mapping):
            self.size += _bytes(part)
            return
        kind, text = part.get("type"), part.get("text")
        if text.__class__ is str and kind == "text" and len(part) == 2:
            self.size += _bytes(text)
            return
        carried: tuple[str, ...] = ()
        if kind in _IMAGES:
            self.images += 1
            self.media += 1
            carried = ("image_url", "image", "source")
        elif kind == "input_audio":
            carried = ("input_audio",)
            self.media += 1
            self._hear(part.get("input_audio"))
        elif kind not in _TEXTS and (kind is not None or text is None):
            self.media += 1
            self.open = True
            carried = tuple(key for key in part if key != "text")
        for key, value in part.items():
            if key == "content" and not isinstance(value, str):
                self.content(value)
            elif key not in carried and value is not None and key != "type":
                self.size += _bytes(value)

    def _hear(self, sound: Any) -> None:
        data = sound.get("data") if isinstance(sound, Mapping) else None
        if isinstance(data, str) and sound.get("format") in _SOUNDS:
            self.sound += len(data)
        else:
            self.open = True


_SCALARS = (int, float, bool)


def _serves_itself(tool: Any) -> bool:
    """Whether a tool is the provider's own, such as its web search: what it finds is read, too."""
    if not isinstance(tool, Mapping):
        return False
    kind = tool.get("type")
    if kind is None:
        return "function" not in tool and "name" not in tool
    return kind not in ("function", "custom")


def _bytes(value: Any) -> int:
    if value.__class__ is str:
        return len(value) if value.isascii() else len(value.encode("utf-8", "surrogatepass"))
    return len(_dumped(value))


def _dumped(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_plain).encode("utf-8", "surrogatepass")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (tuple, set, frozenset)):
        return list(value)
    return str(value)
