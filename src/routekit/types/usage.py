"""What one or more upstream calls consumed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Token counts in inclusive buckets, as in OpenTelemetry's GenAI conventions.

    `input_tokens` includes `cache_read_tokens` and `cache_write_tokens`; `output_tokens` includes
    `reasoning_tokens`; what was heard, seen and spoken is in them, too. `estimated` says that a provider
    reported none and these were counted here.

    >>> (Usage(input_tokens=3) + Usage(output_tokens=4)).total_tokens
    7
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    audio_input_tokens: int = 0
    audio_output_tokens: int = 0
    image_input_tokens: int = 0
    estimated: bool = False

    @property
    def total_tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cache_read_tokens=self.cache_read_tokens + other.cache_read_tokens,
            cache_write_tokens=self.cache_write_tokens + other.cache_write_tokens,
            reasoning_tokens=self.reasoning_tokens + other.reasoning_tokens,
            audio_input_tokens=self.audio_input_tokens + other.audio_input_tokens,
            audio_output_tokens=self.audio_output_tokens + other.audio_output_tokens,
            image_input_tokens=self.image_input_tokens + other.image_input_tokens,
            estimated=self.estimated or other.estimated,
        )

    def to_dict(self) -> dict[str, int | bool]:
        return {
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cache_read_tokens": self.cache_read_tokens,
            "cache_write_tokens": self.cache_write_tokens,
            "reasoning_tokens": self.reasoning_tokens,
            **{name: value for name in _MEDIA if (value := getattr(self, name))},
            "estimated": self.estimated,
        }

    @classmethod
    def from_openai(cls, usage: Mapping[str, Any]) -> Usage:
        """From the ``usage`` object of a Chat Completions answer; absent details count as zero."""
        prompt = usage.get("prompt_tokens_details") or {}
        completion = usage.get("completion_tokens_details") or {}
        return cls(
            input_tokens=int(usage.get("prompt_tokens") or 0),
            output_tokens=int(usage.get("completion_tokens") or 0),
            cache_read_tokens=int(prompt.get("cached_tokens") or 0),
            cache_write_tokens=int(prompt.get("cache_write_tokens") or prompt.get("cache_creation_tokens") or 0),
            reasoning_tokens=int(completion.get("reasoning_tokens") or 0),
            audio_input_tokens=int(prompt.get("audio_tokens") or 0),
            audio_output_tokens=int(completion.get("audio_tokens") or 0),
            image_input_tokens=int(prompt.get("image_tokens") or 0),
        )


_MEDIA = ("audio_input_tokens", "audio_output_tokens", "image_input_tokens")


NO_USAGE = Usage()
