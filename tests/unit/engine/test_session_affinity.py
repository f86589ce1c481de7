"""A conversation stays where its prompt cache is while that pays, and inside a tool loop."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.routers import FACES, scripted_router

from routekit import Router
from routekit.builtin.strategies import Balanced, Cheapest
from routekit.engine.plan.planner import Pool, plan
from routekit.errors import ProviderUnavailableError
from routekit.testing import Reply, ScriptedProvider
from routekit.types import Deployment, Model, Price, RouteRequest, Signals, Usage, Work

Face = Any
LONG = "The rules of the house. " * 1000  # some 6,000 tokens
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}


@pytest.fixture(params=FACES, ids=lambda face: face.name)
def face(request: pytest.FixtureRequest) -> Face:
    return request.param


def conversation(turns: int, *, opening: str = "first") -> list[Any]:
    messages: list[Any] = [{"role": "system", "content": LONG}, {"role": "user", "content": opening}]
    for turn in range(turns):
        messages += [{"role": "assistant", "content": "ok"}, {"role": "user", "content": f"turn {turn}"}]
    return messages


def loop(steps: int) -> list[Any]:
    messages: list[Any] = [{"role": "user", "content": "do it"}]
    for _ in range(steps):
        messages += [
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "c", "content": "done"},
        ]
    return messages


def two(price_a: Any, price_b: Any, **config: Any) -> Router:
    reply = Reply("ok", usage=Usage(input_tokens=6000, output_tokens=10))
    return scripted_router(
        {"a": ScriptedProvider(reply), "b": ScriptedProvider(reply)},
        config=config or None, a={"price": price_a}, b={"price": price_b},
    )  # fmt: skip


HOLDING = {"input": 3, "cached_input": 0.3, "output": 6}


@pytest.mark.parametrize("strategy", ["cheapest", "balanced"])
def test_it_stays_with_the_holder_while_that_pays(face: Face, strategy: str) -> None:
    router = two(HOLDING, {"input": 2, "output": 4})
    face.complete(router, conversation(0), model="a")
    spec = {"use": strategy, **({"dial": 0.0} if strategy == "balanced" else {})}
    stayed = face.complete(router, conversation(1), strategy=spec)
    assert stayed.deployment.name == "a"
    assert stayed.decision.reason.startswith("stays with a: it holds")
    assert "which saves $" in stayed.decision.reason
    rows = {row["deployment"]: row for row in stayed.decision.to_dict()["ranked"]}
    assert rows["a"]["switching_nanos"] == 0 < rows["b"]["switching_nanos"]
    assert stayed.decision.to_dict()["holder"] == "a"
    fresh = face.complete(router, conversation(1, opening="somebody else's"), strategy=spec)
    assert fresh.deployment.name == "b", "another conversation under the same system prompt"
    spec["affinity"] = False
    router.clock.advance(301)  # type: ignore[attr-defined]  # the virtual clock
    assert face.complete(router, conversation(2), strategy=spec).deployment.name == "b", "the prefix is held no more"


def test_it_leaves_where_that_pays_and_says_what_is_lost(face: Face) -> None:
    router = two({"input": 3, "cached_input": 2.5, "output": 6}, {"input": 0.1, "output": 0.2})
    face.complete(router, conversation(0), model="a")
    left = face.complete(router, conversation(1), strategy="cheapest")
    assert left.deployment.name == "b"
    assert left.decision.reason.startswith("leaves a, although it holds")


def test_a_loss_can_tip_the_scale(face: Face) -> None:
    """Now b is cheaper, but a's discount would be missed at the next turn, and b charges for writing its cache."""
    for write, expected in ((None, "a"), (4, "a")):
        price = {"input": 0.25, "output": 0.5, **({"cache_write": write} if write else {})}
        router = two({"input": 3, "cached_input": 0.3, "output": 0.5}, price)
        face.complete(router, conversation(0), model="a")
        assert face.complete(router, conversation(1), strategy="cheapest").deployment.name == expected
        off = face.complete(router, conversation(2), strategy={"use": "cheapest", "affinity": False})
        assert off.deployment.name == "b"


@pytest.mark.parametrize("strategy", ["cheapest", "balanced"])
def test_a_tool_loop_ends_where_it_began(face: Face, strategy: str) -> None:
    reply = Reply("ok", usage=Usage(input_tokens=50, output_tokens=10))
    down = ScriptedProvider(ProviderUnavailableError("down"), reply)
    router = scripted_router({"a": down, "b": ScriptedProvider(reply)})
    spec = {"use": strategy, **({"dial": 0.0} if strategy == "balanced" else {})}
    assert face.complete(router, loop(0), tools=TOOLS, strategy=spec).deployment.name == "b", "a was down"
    inside = face.complete(router, loop(1), tools=TOOLS, strategy=spec)
    assert inside.deployment.name == "b"
    assert inside.decision.reason == "stays with b inside a tool loop"
    after = [*loop(1), {"role": "assistant", "content": "done"}, {"role": "user", "content": "and now?"}]
    assert face.complete(router, after, tools=TOOLS, strategy=spec).deployment.name == "a", "the turn is over"


def test_a_tool_loop_leaves_when_it_is_forced_to(face: Face) -> None:
    reply = Reply("ok", usage=Usage(input_tokens=50, output_tokens=10))
    router = scripted_router({"a": ScriptedProvider(reply), "b": ScriptedProvider(reply)})
    face.complete(router, loop(0), tools=TOOLS, strategy="best")
    assert face.complete(router, loop(1), tools=TOOLS, strategy="cheapest").deployment.name == "a", "another strategy"
    assert face.complete(router, loop(2), tools=TOOLS, strategy="cheapest", model="b").deployment.name == "b", "pinned"
    assert face.complete(router, loop(3), tools=TOOLS, strategy="cheapest").deployment.name == "b", "now it is b's"


def test_two_users_with_one_system_prompt_do_not_mix(face: Face) -> None:
    router = two(HOLDING, {"input": 2, "output": 4})
    face.complete(router, conversation(0, opening="I am Ada"), model="a")
    other = face.complete(router, conversation(0, opening="I am Bob"), strategy="cheapest")
    assert other.decision.signals.holder is None
    assert other.deployment.name == "b"


prices = st.builds(
    Price, input=st.integers(1, 10**9), output=st.integers(0, 10**9), cached_input=st.none() | st.integers(0, 10**9),
    cache_write=st.none() | st.integers(0, 10**9),
)  # fmt: skip


@given(st.lists(prices, min_size=2, max_size=6), st.integers(0, 5), st.integers(1024, 90_000))
def test_the_first_never_costs_more_than_the_holder_switching_included(some: list[Price], who: int, held: int) -> None:
    deployments = [
        Deployment(name=f"d{number}", provider="p", model=Model(id="m", price=price), quality=0.5)
        for number, price in enumerate(some)
    ]
    holder = deployments[who % len(deployments)].name
    request = RouteRequest(messages=({"role": "user", "content": "x"},))
    work = Work(90_000, 95_000, 300, 300)
    with_cache = Signals(cached_prefix={holder: held}, holder=holder, holder_strategy="cheapest")
    for signals in (Signals(), with_cache):
        candidates = plan(Pool(deployments), request, work, signals, {}).candidates
        first = Cheapest().rank(request, candidates, signals).ranked[0].candidate
        total = {c.name: (c.cost_nanos or 0) + c.switching_nanos for c in candidates}
        assert total[first.name] == min(total.values())
        if signals.holder:
            assert total[first.name] <= total[holder]
            in_loop = signals._replace(in_tool_loop=True)
            assert Cheapest().rank(request, candidates, in_loop).chosen.name == holder
            balanced = in_loop._replace(holder_strategy="balanced")
            assert Balanced().rank(request, candidates, balanced).chosen.name == holder
            assert Cheapest(affinity=False).rank(request, candidates, in_loop).ranked
        else:
            assert all(candidate.switching_nanos == 0 for candidate in candidates)
