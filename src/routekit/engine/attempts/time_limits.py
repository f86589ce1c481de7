"""Pure: how long a stream may be silent, and how slow it may be.

Three times the 95th percentile of the deployment's own calls, within bounds: a limit that fits one
model is an outage of another. Keep-alive comments and frames without content satisfy no limit.
"""

from __future__ import annotations

from collections import deque

from routekit.types import Chunk, Latency, text_tokens

FACTOR = 3.0
FIRST_TOKEN_S = (2.0, 30.0)
IDLE_S = (5.0, 30.0)
"""Bounds of the adaptive limits."""

SAMPLES = 5
"""Fewer calls make no percentile."""

PACE_WINDOW_S = 10.0


def first_token_limit_s(configured: float | None, typical: Latency | None, others_left: bool) -> float | None:
    """The most that the first content may take, None for as long as the call itself may.

    A limit that was set always holds. The adaptive one holds only while somebody else could answer:
    where nobody can, waiting is the better bet.
    """
    if configured is not None:
        return configured
    if not others_left or typical is None or typical.samples < SAMPLES or typical.ttft_p95_s is None:
        return None
    return _within(FIRST_TOKEN_S, FACTOR * typical.ttft_p95_s)


def idle_limit_s(configured: float | None, typical: Latency | None) -> float:
    """The longest gap between two pieces of a stream."""
    if configured is not None:
        return configured
    gap_s = None if typical is None or typical.samples < SAMPLES else typical.gap_p95_s
    return IDLE_S[1] if gap_s is None else _within(IDLE_S, FACTOR * gap_s)


class Pace:
    """Tokens per second over the last ten seconds, against a minimum. Silent during the first ten."""

    __slots__ = ("_least", "_seen", "_since", "_tokens")

    def __init__(self, least_tokens_per_s: float, now: float) -> None:
        self._least = least_tokens_per_s
        self._since = now
        self._seen: deque[tuple[float, int]] = deque()
        self._tokens = 0

    def add(self, chunk: Chunk, now: float) -> None:
        if chunk.has_content:
            tokens = max(1, text_tokens(chunk.text))
            self._seen.append((now, tokens))
            self._tokens += tokens

    def too_slow(self, now: float) -> str | None:
        """Why the stream is given up, or None."""
        if now - self._since < PACE_WINDOW_S:
            return None
        while self._seen and now - self._seen[0][0] > PACE_WINDOW_S:
            self._tokens -= self._seen.popleft()[1]
        pace = self._tokens / PACE_WINDOW_S
        return None if pace >= self._least else f"{pace:.1f} tokens per second, less than the {self._least:g} asked for"


def _within(bounds: tuple[float, float], seconds: float) -> float:
    return min(bounds[1], max(bounds[0], seconds))
