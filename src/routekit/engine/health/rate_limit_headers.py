"""What providers say about their limits in the headers of an answer, and who has nothing left.

OpenAI's form (and that of those who follow it): ``x-ratelimit-remaining-requests``, ``-tokens`` and
``x-ratelimit-reset-requests``, ``-tokens`` with spans such as "6m0s" or "250ms". Anthropic's form:
``anthropic-ratelimit-requests-remaining``, ``-reset`` with RFC 3339 times, the same for tokens.
Headers come from outside: what cannot be read is ignored, and no span is longer than an hour.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from typing import NamedTuple

from routekit.types import Clock

RESET_CAP_S = 3600.0
LENGTH_MAX = 40
"""No honest value is longer; int() and patterns are not fed more."""

DIGITS_MAX = 15

_UNITS_S = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|us|µs|ns|d|h|m|s)")
_SPAN = re.compile(rf"(?:{_PART.pattern})+")
_SECONDS = re.compile(r"[0-9]+(?:\.[0-9]+)?")

_REQUESTS_LEFT = ("x-ratelimit-remaining-requests", "anthropic-ratelimit-requests-remaining")
_TOKENS_LEFT = ("x-ratelimit-remaining-tokens", "anthropic-ratelimit-tokens-remaining")
_REQUESTS_RESET = ("x-ratelimit-reset-requests", "anthropic-ratelimit-requests-reset")
_TOKENS_RESET = ("x-ratelimit-reset-tokens", "anthropic-ratelimit-tokens-reset")


class RateLimits(NamedTuple):
    """What is left and seconds until it is more; None where the provider said nothing readable."""

    requests_left: int | None = None
    tokens_left: int | None = None
    reset_requests_s: float | None = None
    reset_tokens_s: float | None = None


NOTHING = RateLimits()


def parse_rate_limits(headers: Mapping[str, str], now_s: float) -> RateLimits:
    """Reads lower-case `headers`; `now_s` is seconds since 1970, for resets given as a time. Never raises."""
    if not headers:
        return NOTHING
    return RateLimits(
        _count(_first(headers, _REQUESTS_LEFT)),
        _count(_first(headers, _TOKENS_LEFT)),
        _span_s(_first(headers, _REQUESTS_RESET), now_s),
        _span_s(_first(headers, _TOKENS_RESET), now_s),
    )


class _Left(NamedTuple):
    left: int
    until: float  # on the monotonic clock


class Headroom:
    """The latest word of each deployment's provider. Safe in threads: whole entries are replaced, never changed."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._requests: dict[str, _Left] = {}
        self._tokens: dict[str, _Left] = {}

    def note(self, name: str, headers: Mapping[str, str]) -> None:
        """Remembers what an answer's headers say. Headers without limits leave the last word standing."""
        if not headers:
            return
        limits = parse_rate_limits(headers, self._clock.time())
        if limits == NOTHING:
            return
        now = self._clock.monotonic()
        _remember(self._requests, name, limits.requests_left, limits.reset_requests_s, now)
        _remember(self._tokens, name, limits.tokens_left, limits.reset_tokens_s, now)

    def why_not(self, name: str, tokens: int = 0) -> str | None:
        """Why a call of so many `tokens` would be refused now, or None. Free while nobody has reported."""
        requests, spare = self._requests.get(name), self._tokens.get(name)
        if requests is None and spare is None:
            return None
        now = self._clock.monotonic()
        if requests is not None and requests.left < 1 and now < requests.until:
            return f"its provider reports 0 requests left for {requests.until - now:.1f} s"
        if spare is not None and spare.left < max(1, tokens) and now < spare.until:
            return f"its provider reports {spare.left} tokens left for {spare.until - now:.1f} s"
        return None


def _remember(memory: dict[str, _Left], name: str, left: int | None, reset_s: float | None, now: float) -> None:
    if left is None:
        return
    if reset_s is None or reset_s <= 0:
        memory.pop(name, None)  # a count nobody dates cannot be held against it
    else:
        memory[name] = _Left(left, now + reset_s)


def _first(headers: Mapping[str, str], names: tuple[str, ...]) -> str | None:
    for name in names:
        value = headers.get(name)
        if value is not None:
            return value
    return None


def _count(text: str | None) -> int | None:
    if text is None:
        return None
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) <= DIGITS_MAX else None


def _span_s(text: str | None, now_s: float) -> float | None:
    """Seconds from now, 0 to an hour; None for what is no span and no time."""
    if text is None or len(text) > LENGTH_MAX:
        return None
    text = text.strip()
    if _SECONDS.fullmatch(text):
        return min(RESET_CAP_S, float(text))
    if _SPAN.fullmatch(text):
        return min(RESET_CAP_S, sum(float(number) * _UNITS_S[unit] for number, unit in _PART.findall(text)))
    try:
        moment = dt.datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=dt.UTC)
        return min(RESET_CAP_S, max(0.0, moment.timestamp() - now_s))
    except (ValueError, OverflowError):
        return None
