"""Savings add up, to the nano-dollar."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.routers import FACES, scripted_router

from routekit.engine.budget.savings import baseline_of, savings_of
from routekit.errors import ProviderUnavailableError
from routekit.testing import Reply, ScriptedProvider
from routekit.types import Candidate, Deployment, Model, Price, Usage, Work

Face = Any
counts = st.integers(0, 10**6)
prices = st.builds(
    Price, input=counts, output=counts, cached_input=st.none() | counts, cache_write=st.none() | counts,
    reasoning=st.none() | counts, per_request=st.integers(0, 1000),
)  # fmt: skip


@pytest.fixture(params=FACES, ids=lambda face: face.name)
def face(request: pytest.FixtureRequest) -> Face:
    return request.param


def deployment(name: str, price: Price | None) -> Deployment:
    return Deployment(name=name, provider="p", model=Model(id=name, price=price))


@given(prices, prices, counts, counts, counts, st.integers(0, 10**12), st.integers(0, 10**9))
def test_the_parts_add_up_to_the_whole(
    there: Price, here: Price, read: int, written: int, removed: int, answer: int, extra: int
) -> None:
    usage = Usage(input_tokens=read, output_tokens=written, cache_read_tokens=read // 2)
    found = savings_of(
        deployment("best", there), deployment("mini", here), usage,
        removed_tokens=removed, answer_nanos=answer, total_nanos=answer + extra,
    )  # fmt: skip
    assert found is not None
    parts = found.routing_nanos + found.compression_nanos + found.caching_nanos - found.overhead_nanos
    assert parts == found.saved_nanos == found.baseline_nanos - (answer + extra)
    assert found.overhead_nanos == extra
    if not removed:
        assert found.compression_nanos == 0
    if here == there:
        assert found.routing_nanos == 0


def test_without_a_price_nothing_is_said() -> None:
    known, unknown = deployment("a", Price(input=1, output=1)), deployment("b", None)
    for pair in ((known, unknown), (unknown, known), (None, known), (known, None)):
        assert savings_of(*pair, Usage(), removed_tokens=0, answer_nanos=0, total_nanos=0) is None


def test_the_baseline_is_the_best_and_of_equals_the_dearest() -> None:
    def candidate(name: str, quality: float, price: int | None) -> Candidate:
        made = deployment(name, None if price is None else Price(input=price, output=price))
        return Candidate(made, quality, False, Work(1, 1, 1, 1))

    found = [candidate("a", 0.5, 9), candidate("b", 0.9, 1), candidate("c", 0.9, 2), candidate("d", 1.0, None)]
    best = baseline_of(None, found)
    assert best is not None
    assert best.name == "c"
    assert baseline_of(found[0].deployment, found).name == "a"  # type: ignore[union-attr]  # it was configured
    assert baseline_of(None, found[3:]) is None


USAGE = Usage(input_tokens=1000, output_tokens=500)


def answers(*more: Any) -> ScriptedProvider:
    return ScriptedProvider(*more, Reply("ok", usage=USAGE))


def test_a_cheaper_answer_saves_by_routing(face: Face) -> None:
    router = scripted_router({"a": answers(), "b": answers()})  # 1 and 2 dollars, 2 and 4
    result = face.complete(router, "hi", strategy="cheapest")
    found = result.savings
    assert (found.baseline, found.baseline_nanos, found.cost_nanos) == ("b", 4_000_000, 2_000_000)
    assert (found.routing_nanos, found.caching_nanos, found.overhead_nanos) == (2_000_000, 0, 0)
    assert face.complete(router, "hi", strategy="best").savings.saved_nanos == 0
    assert result.to_dict()["savings"]["saved_nanos"] == 2_000_000


def test_a_configured_baseline_counts_even_where_it_would_not_do(face: Face) -> None:
    router = scripted_router(
        {"a": answers(), "b": answers(), "c": answers()}, config={"savings": {"baseline": "c"}}, c={"group": "other"}
    )
    assert face.complete(router, "hi").savings.baseline == "c"


def test_hits_save_by_caching_and_the_rest_by_routing(face: Face) -> None:
    router = scripted_router({"a": answers(), "b": answers()}, config={"cache": {"use": ["memory"]}})
    for _ in range(2):
        result = face.complete(router, "hi", strategy="cheapest")
    assert result.cache == "hit"
    found = result.savings
    assert (found.baseline, found.baseline_nanos, found.cost_nanos) == ("b", 4_000_000, 0)
    assert (found.routing_nanos, found.caching_nanos) == (2_000_000, 2_000_000)


def test_the_providers_own_cache_saves_by_caching(face: Face) -> None:
    usage = Usage(input_tokens=1000, output_tokens=500, cache_read_tokens=800)
    router = scripted_router(
        {"a": ScriptedProvider(Reply("ok", usage=usage))}, a={"price": {"input": 1, "cached_input": 0.1, "output": 2}}
    )
    found = face.complete(router, "hi").savings
    assert (found.baseline_nanos, found.routing_nanos, found.caching_nanos) == (2_000_000, 0, 720_000)


def test_what_failed_on_the_way_is_overhead(face: Face) -> None:
    down = ScriptedProvider(ProviderUnavailableError("down", usage=Usage(input_tokens=1000)))
    router = scripted_router({"a": down, "b": answers()})
    for call in (face.complete, lambda *args, **options: face.stream(*args, **options)[1]):
        found = call(router, "hi", strategy="cheapest").savings
        assert (found.baseline, found.overhead_nanos, found.saved_nanos) == ("b", 1_000_000, -1_000_000)


def test_what_compressors_removed_is_compression(face: Face) -> None:
    text = '{"a": [1,    2,     3],' + " " * 4000 + '"b": 2}'
    router = scripted_router({"a": answers()}, config={"compressors": [{"use": "json-minify"}]})
    messages = [
        {"role": "user", "content": "look"},
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "c", "content": text},
    ]  # fmt: skip
    found = face.complete(router, messages).savings
    assert found.compression_nanos > 900_000
    assert found.routing_nanos == found.overhead_nanos == 0
