"""Bills against an oracle of exact fractions, written apart from the code that it checks."""

from __future__ import annotations

import math
import random
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routekit.errors import InvalidInputError
from routekit.types import OffPeak, Price, Tier, Usage


def oracle(price: dict[str, Any], usage: dict[str, int], percent: int) -> int:
    """Each component: tokens times its price, as a fraction, rounded up once."""
    tier = None
    for candidate in sorted(price["tiers"], key=lambda tier: tier["above_tokens"]):
        if usage["input"] > candidate["above_tokens"]:
            tier = candidate

    def rate(name: str, otherwise: str) -> Fraction:
        for table in (tier or {}, price):
            if table.get(name) is not None:
                return Fraction(table[name])
        return rate(otherwise, otherwise)

    left, said = usage["input"] - usage["read"] - usage["write"], usage["output"]
    parts: list[tuple[int, Fraction]] = [(usage["read"], rate("cached_input", "input")),
                                         (usage["write"], rate("cache_write", "input"))]  # fmt: skip
    for name in ("audio_input", "image_input"):
        if price[name] is not None:
            part = min(usage[name], left)
            left -= part
            parts.append((part, Fraction(price[name])))
    parts.append((left, rate("input", "input")))
    if rate("reasoning", "output") and (price["reasoning"] is not None or (tier or {}).get("reasoning") is not None):
        said -= usage["thought"]
        parts.append((usage["thought"], rate("reasoning", "output")))
    if price["audio_output"] is not None:
        part = min(usage["audio_output"], said)
        said -= part
        parts.append((part, Fraction(price["audio_output"])))
    parts.append((said, rate("output", "output")))
    share = Fraction(percent, 100)
    total = sum(math.ceil(tokens * price_of * share / 1_000_000) for tokens, price_of in parts)
    return total + math.ceil(price["per_request"] * share)


def some_price(rng: random.Random) -> dict[str, Any]:
    def maybe() -> int | None:
        return rng.choice([None, rng.randrange(1, 10 ** rng.randrange(1, 12))])

    names = ("cached_input", "cache_write", "reasoning", "audio_input", "audio_output", "image_input")
    tiers = [
        {"above_tokens": above, "input": maybe(), "output": maybe(), "cached_input": maybe(), "cache_write": maybe()}
        for above in rng.sample([1_000, 50_000, 128_000, 200_000], rng.choice([0, 0, 1, 2]))
    ]
    return {
        "input": rng.randrange(10**rng.randrange(12)), "output": rng.randrange(10**rng.randrange(12)),
        "per_request": rng.choice([0, 0, 12_345]), "tiers": tiers, **{name: maybe() for name in names},
    }  # fmt: skip


def some_usage(rng: random.Random) -> dict[str, int]:
    whole, said = rng.randrange(300_000), rng.randrange(50_000)
    read = rng.choice([0, rng.randrange(whole + 1)])
    return {
        "input": whole, "output": said, "read": read, "write": rng.choice([0, rng.randrange(whole - read + 1)]),
        "thought": rng.choice([0, rng.randrange(said + 1)]), "audio_input": rng.choice([0, rng.randrange(whole + 1)]),
        "image_input": rng.choice([0, rng.randrange(whole + 1)]),
        "audio_output": rng.choice([0, rng.randrange(said + 1)]),
    }  # fmt: skip


def made(price: dict[str, Any], **more: Any) -> Price:
    plain = {name: value for name, value in price.items() if name != "tiers"}
    return Price(**plain, tiers=tuple(Tier(**tier) for tier in price["tiers"]), **more)


def used(usage: dict[str, int]) -> Usage:
    return Usage(
        input_tokens=usage["input"], output_tokens=usage["output"], cache_read_tokens=usage["read"],
        cache_write_tokens=usage["write"], reasoning_tokens=usage["thought"], audio_input_tokens=usage["audio_input"],
        audio_output_tokens=usage["audio_output"], image_input_tokens=usage["image_input"],
    )  # fmt: skip


def test_a_hundred_thousand_bills_are_exact() -> None:
    rng = random.Random(23)
    for _ in range(2_000):
        price, percent = some_price(rng), rng.choice([100, 100, 50, 33])
        at_night = made(price, off_peak=(OffPeak(start_minute=0, end_minute=1440, percent=percent),))
        plain = made(price)
        for _ in range(50):
            usage = some_usage(rng)
            counted = used(usage)
            assert at_night.cost_nanos(counted, at=1e9) == oracle(price, usage, percent), (price, usage, percent)
            cost = plain.cost_nanos(counted)
            assert cost >= at_night.cost_nanos(counted, at=1e9)
            bound_in, bound_out = usage["input"] + rng.randrange(3), usage["output"] + rng.randrange(3)
            assert cost <= plain.worst_nanos(bound_in, bound_out), (price, usage)


@given(st.integers(0, 2**32), st.sampled_from([None, "batch", "flex", "priority", "nonsense"]))
def test_the_worst_case_holds_in_every_service(seed: int, service: str | None) -> None:
    rng = random.Random(seed)
    base = some_price(rng)
    price = made(base, services=(("batch", made(some_price(rng))), ("priority", made(some_price(rng)))))
    usage = some_usage(rng)
    cost = price.cost_nanos(used(usage), service=service)
    assert cost <= price.worst_nanos(usage["input"], usage["output"], service)
    if service in (None, "flex", "nonsense"):
        assert cost == oracle(base, usage, 100)


@pytest.mark.parametrize(
    ("window", "instant", "holds"),
    [
        ((990, 30, "UTC"), "2026-01-01T16:30:00+00:00", True),
        ((990, 30, "UTC"), "2026-01-01T00:29:59+00:00", True),
        ((990, 30, "UTC"), "2026-01-01T00:30:00+00:00", False),
        ((990, 30, "UTC"), "2026-01-01T12:00:00+00:00", False),
        ((60, 120, "Asia/Tokyo"), "2026-01-01T16:30:00+00:00", True),
        ((60, 120, "Asia/Tokyo"), "2026-01-01T01:30:00+00:00", False),
    ],
)
def test_an_off_peak_window_may_span_midnight(window: tuple[int, int, str], instant: str, holds: bool) -> None:
    import datetime as dt

    made = OffPeak(start_minute=window[0], end_minute=window[1], timezone=window[2], percent=50)
    assert made.holds(dt.datetime.fromisoformat(instant).timestamp()) is holds


def test_a_window_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="off_peak"):
        OffPeak(start_minute=1500, end_minute=10, percent=50)


def test_tiers_hold_for_the_whole_request_whatever_their_order() -> None:
    tiers = (Tier(above_tokens=200_000, input=4), Tier(above_tokens=100, input=2_000_000, output=5_000_000))
    price = Price(input=1_000_000, output=3_000_000, tiers=tiers)
    assert price.cost_nanos(Usage(input_tokens=100, output_tokens=1)) == 103
    assert price.cost_nanos(Usage(input_tokens=101, output_tokens=1)) == 207
    assert price.tiers[0].above_tokens == 100


def test_usage_knows_what_was_heard_seen_and_spoken() -> None:
    usage = Usage.from_openai(
        {
            "prompt_tokens": 90, "completion_tokens": 7,
            "prompt_tokens_details": {"audio_tokens": 40, "image_tokens": 9},
            "completion_tokens_details": {"audio_tokens": 3},
        }
    )  # fmt: skip
    assert (usage.audio_input_tokens, usage.image_input_tokens, usage.audio_output_tokens) == (40, 9, 3)
    assert (usage + usage).audio_input_tokens == 80
    assert usage.to_dict()["audio_input_tokens"] == 40
    assert "audio_input_tokens" not in Usage().to_dict()
