"""How many tokens a request is, before anybody counted them: a likely figure and one that is not exceeded."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

BYTES_PER_TOKEN = 3.8
"""English prose and code on the o200k and Llama tokenizers lie between 3.4 and 4.6."""

MESSAGE_TOKENS = 4
"""Role and separators around each message in the common chat templates."""

MEDIA_TOKENS = 1600
"""A picture of a megapixel at Anthropic's published rate; others charge less."""

UNBOUNDED = 10**9
"""The bound of what nobody can count before it is sent, such as a document or a recording: the model's window holds."""

_MESSAGE_BOUND = 16
_IMAGE_BOUND = 48_200
"""The most that any vendor publishes for one picture: gpt-4o-mini's 2,833 tokens and 5,667 for each of eight tiles."""


def count_tokens(messages: Iterable[Mapping[str, Any]], tools: Iterable[Mapping[str, Any]] = ()) -> tuple[int, int]:
    """``(likely, bound)`` input tokens of a request.

    The bound holds for byte-level tokenizers (all of GPT, Claude, Llama, Qwen, Mistral): a token is
    at least one byte, so the bytes of the text, plus what the template adds, are never exceeded. With
    parts that are neither text nor pictures it is `UNBOUNDED` or more.

    >>> count_tokens([{"role": "user", "content": "Why is the sky blue?"}])
    (10, 36)
    """
    size = count = media = images = 0
    for message in messages:
        count += 1
        content = message.get("content")
        if content.__class__ is str:
            size += len(content) if content.isascii() else len(content.encode("utf-8", "surrogatepass"))
        elif content:
            for part in content:
                text = part.get("text") if isinstance(part, Mapping) else None
                if text is not None:
                    size += len(str(text).encode("utf-8", "surrogatepass"))
                else:
                    media += 1
                    images += isinstance(part, Mapping) and part.get("type") in ("image_url", "image")
        if len(message) > 2:
            for key, value in message.items():
                if key not in ("role", "content") and value is not None:
                    size += len(value.encode("utf-8", "surrogatepass") if isinstance(value, str) else _dumped(value))
    for tool in tools:
        count += 1
        size += len(_dumped(tool))
    likely = int(size / BYTES_PER_TOKEN) + 1 + count * MESSAGE_TOKENS + media * MEDIA_TOKENS
    bound = size + count * _MESSAGE_BOUND + images * _IMAGE_BOUND
    return likely, bound if media == images else bound + UNBOUNDED


def text_tokens(text: str) -> int:
    """The likely number of tokens of a text."""
    return int(len(text.encode("utf-8", "surrogatepass")) / BYTES_PER_TOKEN) + 1


def _dumped(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str).encode("utf-8", "surrogatepass")
