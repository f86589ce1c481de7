"""Money and prices: integers all the way, checked against exact fractions."""

from __future__ import annotations

import math
import pickle
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routekit.errors import InvalidInputError
from routekit.types import Money, Price, Usage

tokens = st.integers(0, 10**7)
prices = st.integers(0, 10**12)


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    read, write, plain = draw(tokens), draw(tokens), draw(tokens)
    thought, said = draw(tokens), draw(tokens)
    return Usage(
        input_tokens=read + write + plain,
        cache_read_tokens=read,
        cache_write_tokens=write,
        output_tokens=thought + said,
        reasoning_tokens=thought,
    )


@given(usages(), prices, prices, st.none() | prices, st.none() | prices, st.none() | prices, st.integers(0, 10**9))
def test_a_bill_is_the_exact_one_with_each_component_rounded_up_once(
    usage, inward, out, read, write, thought, flat
) -> None:
    price = Price(input=inward, output=out, cached_input=read, cache_write=write, reasoning=thought, per_request=flat)

    def component(count: int, per_million: int) -> int:
        return math.ceil(Fraction(count * per_million, 1_000_000))

    plain = usage.input_tokens - usage.cache_read_tokens - usage.cache_write_tokens
    expected = flat + component(plain, inward)
    expected += component(usage.cache_read_tokens, inward if read is None else read)
    expected += component(usage.cache_write_tokens, inward if write is None else write)
    if thought is None:
        expected += component(usage.output_tokens, out)
    else:
        expected += component(usage.output_tokens - usage.reasoning_tokens, out)
        expected += component(usage.reasoning_tokens, thought)
    assert price.cost_nanos(usage) == expected
    assert price.worst_nanos(usage.input_tokens, usage.output_tokens) >= expected


@given(st.decimals(0, 10**6, places=9))
def test_dollars_with_nine_digits_are_exact(amount) -> None:
    assert Money.from_usd(amount).usd == amount
    assert str(Money.from_usd(amount)) == "$" + (f"{amount:f}".rstrip("0").rstrip(".") if amount else "0")


@pytest.mark.parametrize("wrong", [-1, float("nan"), float("inf"), "much", True, None])
def test_what_is_no_amount_is_refused(wrong) -> None:
    with pytest.raises((InvalidInputError, TypeError)):
        Money.from_usd(wrong)


@pytest.mark.parametrize("wrong", [-1, 1.0, True, "1"])
def test_money_is_made_of_whole_nanos(wrong) -> None:
    with pytest.raises((InvalidInputError, TypeError)):
        Money(wrong)


def test_money_behaves_as_a_value() -> None:
    assert Money(1) + Money(2) == Money(3)
    assert max(Money(1), Money(2)) == Money(2)
    assert Money(1).less(Money(5)) == Money(0)
    assert pickle.loads(pickle.dumps(Money(7))) == Money(7)
    assert len({Money(1), Money(1)}) == 1
    with pytest.raises(AttributeError):
        Money(1).nanos = 2
    with pytest.raises(TypeError):
        Money(1) + 1
