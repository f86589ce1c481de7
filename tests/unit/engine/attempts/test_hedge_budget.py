"""A second attempt beside a slow one: within its budget, and the loser is ended and paid."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.routers import AsyncFace, SyncFace

from routekit import AllAttemptsFailedError, Router
from routekit.engine.attempts.hedge_budget import HedgeBudget
from routekit.errors import ProviderUnavailableError
from routekit.plugin import Provider
from routekit.testing import plugin_module
from routekit.types import Answer, Chunk, Usage

Face = SyncFace | AsyncFace
USAGE = Usage(input_tokens=10, output_tokens=2)


class Steady(Provider):
    """Answers at once, except for the calls whose numbers are in `silent`, which hang until they are cancelled."""

    def __init__(self, name: str, silent: set[int] | None = None, error: Exception | None = None) -> None:
        self.name = name
        self.silent = silent or set()
        self.error = error
        self.calls = 0
        self.open = 0
        self.cancelled = 0
        self.lock = threading.Lock()

    def complete(self, call: Any) -> Answer:
        return asyncio.run(self.acomplete(call))

    async def _wait(self) -> None:
        with self.lock:
            self.calls += 1
            number = self.calls
        if number in self.silent:
            self.open += 1
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
            finally:
                self.open -= 1
        if self.error is not None:
            raise self.error

    async def acomplete(self, call: Any) -> Answer:
        await self._wait()
        return Answer(message={"role": "assistant", "content": self.name}, finish_reason="stop", usage=USAGE)

    async def astream(self, call: Any):
        await self._wait()
        yield Chunk({"content": self.name})
        yield Chunk({}, "stop", USAGE)


def router_of(*providers: Provider, **reliability: Any) -> Router:
    names = "abcd"[: len(providers)]
    tables = [
        {"name": name, "provider": "steady", "model": f"m-{name}", "max_output": 10, "context_window": 1000,
         "price": {"input": place, "output": place}}
        for place, name in enumerate(names, start=1)
    ]  # fmt: skip
    return Router(
        {"deployments": tables, "reliability": {"hedge": True, "hedge_after_s": 0.02, **reliability}},
        plugins=[plugin_module(Steady("x"), "steady")],
        providers=dict(zip(names, providers, strict=True)),
        seed=1,
        env={"ROUTEKIT_PLUGINS": ""},
    )


def warmed(face: Face, router: Router, calls: int) -> None:
    for _ in range(calls):
        face.complete(router, "hi", max_tokens=2)


@pytest.mark.parametrize("stream", [False, True])
def test_a_silent_attempt_is_overtaken_and_its_bill_settled(face: Face, stream: bool) -> None:
    first, second = Steady("a", silent={301}), Steady("b")
    with router_of(first, second) as router:
        warmed(face, router, 300)
        result = face.stream(router, "hi", max_tokens=2)[1] if stream else face.complete(router, "hi", max_tokens=2)
        assert result.text == "b"
        assert sorted((a.deployment.name, a.outcome, a.role) for a in result.attempts) == [
            ("a", "cancelled", "answer"),
            ("b", "ok", "hedge"),
        ]
        assert result.attempts[0].cost.nanos > 0  # it was sent, so its input is paid
        assert first.cancelled == 1
        assert first.open == 0
        assert all(row.in_flight == 0 for row in router.health())


def test_there_is_no_hedge_before_there_is_a_budget_for_it(face: Face) -> None:
    first, second = Steady("a", silent={1}), Steady("b")
    with router_of(first, second) as router:
        result = face.complete(router, "hi", max_tokens=2, deadline_s=0.4)
    # The usual way: half of the deadline, then the next one.
    assert [(a.deployment.name, a.outcome) for a in result.attempts] == [("a", "error"), ("b", "ok")]


def test_a_fast_first_attempt_is_never_hedged(face: Face) -> None:
    first, second = Steady("a"), Steady("b")
    with router_of(first, second, hedge_after_s=30) as router:
        warmed(face, router, 50)
    assert second.calls == 0


def test_where_both_fail_each_is_an_attempt(face: Face) -> None:
    class Failing(Steady):
        async def _wait(self) -> None:
            self.calls += 1
            if self.calls > 300:
                await asyncio.sleep(0.05)
                raise ProviderUnavailableError("down")

    first, second = Failing("a"), Steady("b", error=ProviderUnavailableError("down too"))
    with router_of(first, second) as router:
        warmed(face, router, 300)
        with pytest.raises(AllAttemptsFailedError) as caught:
            face.complete(router, "hi", max_tokens=2)
        assert len(caught.value.attempts) == 3
        assert {a.outcome for a in caught.value.attempts} == {"error"}


def test_a_cancelled_request_cancels_both() -> None:
    first, second = Steady("a", silent={301}), Steady("b", silent={1})
    router = router_of(first, second)

    async def main() -> None:
        for _ in range(300):
            await router.acomplete("hi", max_tokens=2)
        task = asyncio.ensure_future(router.acomplete("hi", max_tokens=2))
        async with asyncio.timeout(20):
            while not second.open:
                await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (first.open, second.open) == (0, 0)
        assert (first.cancelled, second.cancelled) == (1, 1)

    asyncio.run(main())
    assert all(row.in_flight == 0 for row in router.health())


def test_closing_the_router_ends_the_thread_that_races_were_held_on() -> None:
    before = set(threading.enumerate())
    with router_of(Steady("a"), Steady("b")) as router:
        router.complete("hi", max_tokens=2)
        assert any(t.name == "routekit-race" for t in set(threading.enumerate()) - before)
    assert not [t for t in set(threading.enumerate()) - before if t.name == "routekit-race"]


costs = st.integers(0, 10**9)


@given(st.lists(st.tuples(st.sampled_from("rps"), costs, costs), max_size=200))
def test_hedges_never_pass_their_share(steps: list[tuple[str, int, int]]) -> None:
    budget = HedgeBudget(0.05)
    under_way: list[int] = []
    for kind, cost, other in steps:
        if kind == "r":
            budget.asked()
            budget.paid(cost)
        elif kind == "p" and budget.take(worst := min(cost, other)):
            under_way.append(worst)
        elif kind == "s" and under_way:
            held = under_way.pop()
            budget.paid(min(other, held), held_nanos=held)
        assert budget.hedges <= 0.05 * budget.requests
        assert budget.hedged_nanos <= 0.05 * budget.spent_nanos + 1
    for held in under_way:
        budget.untaken(held)
    assert budget.hedged_nanos >= 0


def test_an_unknown_price_is_never_hedged() -> None:
    budget = HedgeBudget(0.05)
    for _ in range(100):
        budget.asked()
        budget.paid(1000)
    assert not budget.take(None)
    assert budget.take(0)
