"""How long a stream may be silent, and how slow it may be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routekit.engine.attempts.time_limits import Pace, first_token_limit_s, idle_limit_s
from routekit.types import Chunk, Latency


def seen(samples: int = 10, **figures: float) -> Latency:
    return Latency(samples=samples, **figures)


@pytest.mark.parametrize(
    ("p95_s", "limit_s"), [(0.1, 2.0), (1.0, 3.0), (5.0, 15.0), (60.0, 30.0)], ids=["floor", "3x", "3x-slow", "cap"]
)
def test_the_first_token_limit_follows_the_deployment(p95_s: float, limit_s: float) -> None:
    assert first_token_limit_s(None, seen(ttft_p95_s=p95_s), True) == pytest.approx(limit_s)


def test_a_limit_that_was_set_always_holds() -> None:
    assert first_token_limit_s(0.5, None, False) == 0.5
    assert first_token_limit_s(0.5, seen(ttft_p95_s=10), True) == 0.5
    assert idle_limit_s(1.5, seen(gap_p95_s=10)) == 1.5


@pytest.mark.parametrize("typical", [None, seen(4, ttft_p95_s=1.0), seen(10)])
def test_without_enough_calls_there_is_no_adaptive_limit(typical: Latency | None) -> None:
    assert first_token_limit_s(None, typical, True) is None


def test_where_nobody_else_is_left_waiting_is_the_better_bet() -> None:
    assert first_token_limit_s(None, seen(ttft_p95_s=0.1), False) is None


@given(st.floats(0, 1000), st.integers(0, 64))
def test_the_idle_limit_stays_within_its_bounds(gap_s: float, samples: int) -> None:
    assert 5.0 <= idle_limit_s(None, seen(samples, gap_p95_s=gap_s)) <= 30.0


def test_a_stream_is_too_slow_only_after_ten_seconds_below_the_minimum() -> None:
    pace = Pace(2.0, 0.0)
    for second in range(10):
        pace.add(Chunk({"content": "a"}), float(second))
        assert pace.too_slow(float(second)) is None
    assert "1.0 tokens per second" in str(pace.too_slow(10.0))


def test_a_stream_that_is_fast_enough_is_left_alone() -> None:
    pace = Pace(2.0, 0.0)
    for tenth in range(300):
        pace.add(Chunk({"content": "word"}), tenth / 10)
        assert pace.too_slow(tenth / 10) is None


def test_frames_without_content_are_no_progress() -> None:
    pace = Pace(0.1, 0.0)
    for second in range(20):
        pace.add(Chunk({"role": "assistant"}), float(second))
    assert pace.too_slow(20.0)
