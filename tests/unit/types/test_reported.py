"""Usage as providers write it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routekit.types import Usage
from routekit.types.reported import MOST, count_of, read_usage

THOUGHT = {"completion_tokens_details": {"reasoning_tokens": 70}}


@pytest.mark.parametrize(
    ("reported", "expected"),
    [
        ({"input_tokens": 100, "output_tokens": 50, "total_tokens": 150}, Usage(input_tokens=100, output_tokens=50)),
        ({"inputTokens": 9, "outputTokens": 4}, Usage(input_tokens=9, output_tokens=4)),
        ({"total_tokens": 150}, Usage(output_tokens=150, estimated=True)),
        ({"prompt_tokens": 100, "total_tokens": 150}, Usage(input_tokens=100, output_tokens=50)),
        ({"completion_tokens": 50, "total_tokens": 150}, Usage(input_tokens=100, output_tokens=50)),
        ({"prompt_tokens": "12", "completion_tokens": 3.0}, Usage(input_tokens=12, output_tokens=3)),
        ({"prompt_tokens": True, "completion_tokens": 3}, Usage(output_tokens=3)),
        ({"prompt_tokens": float("inf"), "completion_tokens": 5}, Usage(output_tokens=5)),
        ({"prompt_tokens": float("nan"), "completion_tokens": -5}, None),
        ({"prompt_tokens": 2**63, "completion_tokens": 10**400}, None),
        ({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, None),
        (
            {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 180, **THOUGHT},
            Usage(input_tokens=100, output_tokens=80, reasoning_tokens=70),
        ),
        (
            {"prompt_tokens": 100, "completion_tokens": 90, "total_tokens": 190, **THOUGHT},
            Usage(input_tokens=100, output_tokens=90, reasoning_tokens=70),
        ),
        (  # thoughts that only the total knows
            {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 400},
            Usage(input_tokens=100, output_tokens=300),
        ),
        (  # a total that is too small says nothing
            {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 4},
            Usage(input_tokens=100, output_tokens=10),
        ),
        (  # Anthropic's own names: cached tokens are beside the input
            {"input_tokens": 100, "output_tokens": 5, "cache_read_input_tokens": 60},
            Usage(input_tokens=160, output_tokens=5, cache_read_tokens=60),
        ),
        (  # the Responses API: inside
            {"input_tokens": 100, "output_tokens": 5, "input_tokens_details": {"cached_tokens": 60}},
            Usage(input_tokens=100, output_tokens=5, cache_read_tokens=60),
        ),
        (  # sound survives beside another vendor's cache fields
            {"prompt_tokens": 100, "prompt_tokens_details": {"audio_tokens": 60}, "cache_read_input_tokens": 20},
            Usage(input_tokens=100, cache_read_tokens=20, audio_input_tokens=60),
        ),
        (
            {"prompt_tokens": 100, "prompt_tokens_details": {"audio_tokens": -60, "image_tokens": 1e999}},
            Usage(input_tokens=100),
        ),
        (
            {"prompt_tokens": 100, "cache_creation": {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 5}},
            Usage(input_tokens=100, cache_write_tokens=8, cache_write_1h_tokens=5),
        ),
        ({"prompt_tokens": 1, "cost": 0.0123}, Usage(input_tokens=1, reported_nanos=12_300_000)),
        ({"prompt_tokens": 1, "cost": {"total_cost": 0.006}}, Usage(input_tokens=1, reported_nanos=6_000_000)),
        ({"prompt_tokens": 1, "cost_in_usd_ticks": 37_756_001}, Usage(input_tokens=1, reported_nanos=3_775_601)),
        ({"prompt_tokens": 1, "cost": "nan"}, Usage(input_tokens=1)),
        ({"prompt_tokens": 1, "cost": -1}, Usage(input_tokens=1)),
        ({"prompt_tokens": 1, "cost": 0}, Usage(input_tokens=1)),
        ({"prompt_tokens": 1, "service_tier": "standard"}, Usage(input_tokens=1, service_tier="standard")),
        ({"prompt_tokens": 1, "service_tier": ["x"]}, Usage(input_tokens=1)),
        ([1], None),
        ("7", None),
        (None, None),
    ],
)
def test_is_read_in_every_dialect(reported: Any, expected: Usage | None) -> None:
    assert read_usage(reported) == expected


def test_the_tier_that_the_answer_names_goes_before_that_of_its_usage() -> None:
    found = read_usage({"prompt_tokens": 1, "service_tier": "standard"}, "flex")
    assert found is not None
    assert found.service_tier == "flex"


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.integers(0, 5000),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
NAMES = (
    "prompt_tokens", "completion_tokens", "total_tokens", "input_tokens", "output_tokens", "cached_tokens", "cost",
    "cache_read_input_tokens", "cache_creation_input_tokens", "reasoning_tokens", "cost_in_usd_ticks", "service_tier",
)  # fmt: skip
INNER = st.dictionaries(
    st.sampled_from(["cached_tokens", "audio_tokens", "image_tokens", "reasoning_tokens", "cache_write_tokens",
                     "ephemeral_1h_input_tokens", "ephemeral_5m_input_tokens"]),
    ANYTHING, max_size=4,
)  # fmt: skip


@given(
    st.dictionaries(st.sampled_from(NAMES), ANYTHING, max_size=8),
    st.dictionaries(
        st.sampled_from(["prompt_tokens_details", "completion_tokens_details", "cache_creation"]), INNER | ANYTHING
    ),
    ANYTHING,
)
def test_whatever_stands_there_comes_out_as_counts_that_fit_into_each_other(outer: Any, inner: Any, tier: Any) -> None:
    usage = read_usage({**outer, **inner}, tier)
    if usage is None:
        return
    assert 0 <= usage.cache_read_tokens + usage.cache_write_tokens <= usage.input_tokens
    assert 0 <= usage.reasoning_tokens <= usage.output_tokens
    assert 0 <= usage.cache_write_1h_tokens <= usage.cache_write_tokens
    assert 0 <= max(usage.audio_input_tokens, usage.image_input_tokens) <= usage.input_tokens
    assert 0 <= usage.audio_output_tokens <= usage.output_tokens
    assert usage.total_tokens < 8 * MOST


@given(ANYTHING)
def test_a_count_is_a_whole_number_that_json_can_carry_or_nothing(value: Any) -> None:
    found = count_of(value)
    assert found is None or (found.__class__ is int and 0 <= found <= MOST)
