"""What a type checker sees of the public names. Checked by mypy --strict in the tests; never run."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import assert_type

from routekit import Money, Router, RouteResult
from routekit.builtin.strategies import Cheapest
from routekit.engine.stream.handles import AsyncStream, Stream
from routekit.plugin import (
    Answer,
    Candidate,
    Options,
    Provider,
    ProviderCall,
    RouteDecision,
    RouteRequest,
    Signals,
    Strategy,
    StrategyPlugin,
    hookimpl,
)
from routekit.types import Attempt, Choice, Chunk, Deployment


def calls(router: Router) -> None:
    result = router.complete("hi", strategy=Cheapest(min_quality=0.7), deadline_s=20, scopes={"tag": ["a", "b"]})
    assert_type(result, RouteResult)
    assert_type(result.text, str)
    assert_type(result.cost, Money)
    assert_type(result.cost.usd, Decimal)
    assert_type(result.attempts, tuple[Attempt, ...])
    assert_type(result.choices, tuple[Choice, ...])
    assert_type(result.decision.ranked[0].deployment, Deployment)
    assert_type(router.explain([{"role": "user", "content": "hi"}]), RouteDecision)
    with router.stream("hi") as stream:
        assert_type(stream, Stream)
        for chunk in stream:
            assert_type(chunk, Chunk)
    assert_type(stream.result, RouteResult)


async def acalls(router: Router) -> None:
    assert_type(await router.acomplete("hi"), RouteResult)
    async with router.astream("hi") as stream:
        assert_type(stream, AsyncStream)
        async for chunk in stream:
            assert_type(chunk.text, str)


class MyOptions(Options):
    floor: float = 0.5


class Mine(Strategy):
    name = "mine"
    Options = MyOptions
    options: MyOptions

    def rank(self, request: RouteRequest, candidates: Sequence[Candidate], signals: Signals) -> RouteDecision:
        return self.decide(candidates, lambda c: c.quality - self.options.floor, "mine", signals)


class Echo(Provider):
    def complete(self, call: ProviderCall) -> Answer:
        return Answer(message={"role": "assistant", "content": "hi"}, finish_reason="stop")


@hookimpl
def routekit_strategies() -> list[StrategyPlugin]:
    return [StrategyPlugin.of(Mine)]
