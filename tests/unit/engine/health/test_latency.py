"""Figures per prompt size, and the pauses of streams."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from routekit.engine.health.latency import LatencyWindow, size_of


def test_sizes_are_powers_of_four() -> None:
    assert [size_of(n) for n in (0, 1, 1023, 1024, 4095, 4096, 16383, 16384)] == [0, 0, 0, 1, 1, 2, 2, 3]


@given(st.integers(0, 10**7))
def test_a_size_holds_prompts_within_a_factor_of_four(tokens: int) -> None:
    size = size_of(tokens)
    assert tokens < 1024 * 4**size
    assert size == 0 or tokens >= 256 * 4**size


def test_a_long_prompt_is_compared_with_long_ones() -> None:
    window = LatencyWindow()
    for _ in range(5):
        window.add(1.0, ok=True, total_s=1.0, ttft_s=0.5, input_tokens=100)
        window.add(1.0, ok=True, total_s=9.0, ttft_s=4.0, input_tokens=20_000)
    assert window.typical(1.0, 50).ttft_p95_s == 0.5
    assert window.typical(1.0, 30_000).ttft_p95_s == 4.0
    assert window.typical(1.0, 2000).samples == 10, "nobody of that size: all"


def test_too_few_of_a_size_speak_for_nothing() -> None:
    window = LatencyWindow()
    assert window.typical(1.0, 50) is None
    for _ in range(4):
        window.add(1.0, ok=True, total_s=9.0, input_tokens=20_000)
    window.add(1.0, ok=False, total_s=99.0, input_tokens=20_000)
    window.add(1.0, ok=True, total_s=1.0, input_tokens=10)
    assert window.typical(1.0, 20_000).samples == 5
    window.add(1.0, ok=True, total_s=9.0, input_tokens=20_000)
    assert window.typical(1.5, 20_000).samples == 5, "at most a second old"
    assert window.typical(2.5, 20_000).total_p50_s == 9.0
    assert window.typical(302.0, 20_000) is None


def test_the_longest_pauses_of_streams_are_remembered() -> None:
    window = LatencyWindow()
    window.add(1.0, ok=True, total_s=1.0)
    assert window.read(1.0).gap_p95_s is None
    for gap_s in (0.1, 0.3, 0.2):
        window.add(1.0, ok=True, total_s=1.0, gap_s=gap_s)
    assert window.read(1.0).gap_p95_s == 0.3
