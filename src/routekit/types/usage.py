"""What one or more upstream calls consumed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Token counts in inclusive buckets, as in OpenTelemetry's GenAI conventions.

    `input_tokens` includes `cache_read_tokens` and `cache_write_tokens`; `output_tokens` includes
    `reasoning_tokens`; what was heard, seen and spoken is in them, too. `cache_write_1h_tokens` are those of
    `cache_write_tokens` that are kept for an hour, which costs more. `estimated` says that a provider
    reported none and these were counted here. `service_tier` is the tier that served, `reported_nanos` what the
    provider itself says that the call cost, in nano-dollars; both None where it does not say.

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
    cache_write_1h_tokens: int = 0
    service_tier: str | None = None
    reported_nanos: int | None = None

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
            cache_write_1h_tokens=self.cache_write_1h_tokens + other.cache_write_1h_tokens,
            service_tier=self.service_tier if self.service_tier == other.service_tier else None,
            reported_nanos=_sum(self.reported_nanos, other.reported_nanos),
        )

    def to_dict(self) -> dict[str, int | bool | str]:
        return {
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cache_read_tokens": self.cache_read_tokens,
            "cache_write_tokens": self.cache_write_tokens,
            "reasoning_tokens": self.reasoning_tokens,
            **{name: value for name in _SELDOM if (value := getattr(self, name))},
            "estimated": self.estimated,
        }

    @classmethod
    def from_openai(cls, usage: Mapping[str, Any]) -> Usage:
        """From the ``usage`` object of an answer; see `read_usage`. What says nothing is a usage of zeros."""
        from routekit.types.reported import read_usage

        return read_usage(usage) or NO_USAGE


_SELDOM = (
    "audio_input_tokens", "audio_output_tokens", "image_input_tokens", "cache_write_1h_tokens", "service_tier",
    "reported_nanos",
)  # fmt: skip


def _sum(one: int | None, other: int | None) -> int | None:
    return one if other is None else other if one is None else one + other


NO_USAGE = Usage()
