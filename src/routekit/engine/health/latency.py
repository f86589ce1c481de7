"""Live latency figures of one deployment, from its recent calls. Old ones age out."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from routekit.types import Latency

KEPT = 64
"""Calls remembered: enough for a p95, few enough to be sorted for each decision that needs it."""

MAX_AGE_S = 300.0
"""Older calls say nothing about now."""

MIN_ALIKE = 5
"""So many calls with prompts of about the same size speak for themselves."""

FRESH_S = 1.0
"""Figures are at most so old: percentiles are not sorted anew for each call."""

PEAK_DECAY_S = 10.0
"""Time constant of the peak EWMA (Finagle's default)."""


class _Call(NamedTuple):
    at: float
    ok: bool
    ttft_s: float | None
    total_s: float
    per_token_s: float | None
    gap_s: float | None
    size: int


class LatencyWindow:
    """Not safe in threads by itself: its owner holds a lock."""

    __slots__ = ("_calls", "_peak", "_peak_at", "_seen", "_seen_at", "_typical")

    def __init__(self) -> None:
        self._calls: deque[_Call] = deque(maxlen=KEPT)
        self._peak = 0.0
        self._peak_at = 0.0
        self._seen: Latency | None = None
        self._seen_at = 0.0
        self._typical: dict[int, tuple[float, Latency]] = {}

    def add(
        self,
        now: float,
        *,
        ok: bool,
        total_s: float,
        ttft_s: float | None = None,
        output_tokens: int = 0,
        input_tokens: int = 0,
        gap_s: float | None = None,
    ) -> None:
        """Records one call that ended now. `gap_s` is its longest silence between two pieces."""
        per_token = None
        if ok and ttft_s is not None and output_tokens > 1:
            per_token = max(0.0, total_s - ttft_s) / (output_tokens - 1)
        self._calls.append(_Call(now, ok, ttft_s, total_s, per_token, gap_s, size_of(input_tokens)))
        decay = math.exp(-(now - self._peak_at) / PEAK_DECAY_S) if self._peak_at else 0.0
        self._peak = total_s if total_s > self._peak else self._peak * decay + total_s * (1 - decay)
        self._peak_at = now
        self._seen = None

    def read(self, now: float) -> Latency | None:
        """The figures as of now, or None where nothing recent is known."""
        seen = self._seen
        if seen is None or now - self._seen_at > FRESH_S:
            seen = self._seen = self._compute(now)
            self._seen_at = now
        return seen if seen.samples or seen.failure_rate else None

    def typical(self, now: float, input_tokens: int) -> Latency | None:
        """The figures of calls with a prompt of about this size, or of all where too few of them are known.

        Up to a second old. None where nothing recent succeeded.
        """
        size = size_of(input_tokens)
        kept = self._typical.get(size)
        if kept is not None and now - kept[0] <= FRESH_S:
            return kept[1]
        found = self._compute(now, size)
        if found.samples < MIN_ALIKE:
            found = self._compute(now)
        if not found.samples:
            return None
        self._typical[size] = (now, found)
        return found

    def _compute(self, now: float, size: int | None = None) -> Latency:
        recent = [call for call in self._calls if now - call.at <= MAX_AGE_S and (size is None or call.size == size)]
        good = [call for call in recent if call.ok]
        ttfts = sorted(call.ttft_s for call in good if call.ttft_s is not None)
        totals = sorted(call.total_s for call in good)
        rates = sorted(call.per_token_s for call in good if call.per_token_s is not None)
        gaps = sorted(call.gap_s for call in good if call.gap_s is not None)
        return Latency(
            samples=len(good),
            ttft_p50_s=percentile(ttfts, 0.5),
            ttft_p95_s=percentile(ttfts, 0.95),
            total_p50_s=percentile(totals, 0.5),
            total_p95_s=percentile(totals, 0.95),
            per_token_s=percentile(rates, 0.5),
            peak_ewma_s=self._peak if recent else None,
            failure_rate=(len(recent) - len(good)) / len(recent) if recent else 0.0,
            gap_p95_s=percentile(gaps, 0.95),
        )


def size_of(tokens: int) -> int:
    """The power of four that a prompt's length belongs to: 0 below 1,024 tokens, 1 below 4,096, and so on.

    >>> [size_of(tokens) for tokens in (0, 1023, 1024, 4095, 4096, 100_000)]
    [0, 0, 1, 1, 2, 4]
    """
    return max(0, (tokens.bit_length() - 1) // 2 - 4)


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """The nearest-rank percentile of sorted values, or None of none.

    >>> percentile([1.0, 2.0, 3.0, 4.0], 0.5)
    2.0
    """
    if not ordered:
        return None
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
