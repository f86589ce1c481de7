"""Holds, thresholds and windows, through a router."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest
from tests.support.routers import FACES, scripted_router

from routekit import BudgetExceededError, BudgetUnavailableError, DeadlineExceededError, Router
from routekit.builtin.budgets.memory import MemoryBudget
from routekit.plugin import BudgetPlugin, Observer, ObserverPlugin, Provider, hookimpl
from routekit.testing import Reply, ScriptedProvider
from routekit.types import Answer, BudgetWarning, Event, Reservation, Usage

Face = Any


@pytest.fixture(params=FACES, ids=lambda face: face.name)
def face(request: pytest.FixtureRequest) -> Face:
    return request.param


class Tape(Observer):
    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    @property
    def thresholds(self) -> list[tuple[str, float]]:
        return [(event.scope, event.threshold) for event in self.events if isinstance(event, BudgetWarning)]


class Parts:
    """A plugin module: the tape, and a budget store of the test's own."""

    def __init__(self, budget: MemoryBudget | None = None) -> None:
        self.tape, self.budget = Tape(), budget

    @hookimpl
    def routekit_observers(self) -> Iterable[ObserverPlugin]:
        return [ObserverPlugin(name="tape", factory=lambda options, context: self.tape)]

    @hookimpl
    def routekit_budgets(self) -> Iterable[BudgetPlugin]:
        if self.budget is None:
            return []
        return [BudgetPlugin(name="mine", factory=lambda options, context: self.budget)]


def router_of(parts: Parts, *budgets: dict[str, Any], provider: Provider | None = None) -> Router:
    reply = Reply(text="ok", usage=Usage(input_tokens=100, output_tokens=450))  # exactly 0.001 dollars
    store = "mine" if parts.budget is not None else "memory"
    return scripted_router(
        {"a": provider or ScriptedProvider(*[reply] * 50)},
        config={"router": {"budget_store": store}, "budgets": list(budgets), "observers": [{"use": "tape"}]},
        plugins=[parts],
    )


def test_each_threshold_is_said_once(face: Face) -> None:
    parts = Parts()
    with router_of(parts, {"scope": "global", "limit_usd": 0.01, "window": "day"}) as router:
        said = []
        for _ in range(8):
            face.complete(router, "hi", max_tokens=450)
            said.append(parts.tape.thresholds)
    assert said[3] == []
    assert said[4] == [("global", 0.5)]
    assert said[6] == [("global", 0.5)]
    assert said[7] == [("global", 0.5), ("global", 0.8)]


def test_one_call_that_passes_several_thresholds_says_each(face: Face) -> None:
    parts = Parts()
    budget = {"scope": "user:*", "limit_usd": 0.0009, "on_exceeded": "warn", "warn_at": [0.25, 0.5, 1]}
    with router_of(parts, budget) as router:
        result = face.complete(router, "hi", max_tokens=450, scopes={"user": "ada"})
        assert parts.tape.thresholds == [("user:ada", 0.25), ("user:ada", 0.5), ("user:ada", 1.0)]
        assert any("is passed" in note for note in result.decision.notes)
        face.complete(router, "hi", max_tokens=450, scopes={"user": "bob"})
        assert parts.tape.thresholds[3:] == [("user:bob", 0.25), ("user:bob", 0.5), ("user:bob", 1.0)]


def test_a_rolling_window_frees_what_has_left_it(face: Face) -> None:
    parts = Parts()
    with router_of(parts, {"scope": "global", "limit_usd": 0.0025, "window": "rolling:60s"}) as router:
        face.complete(router, "hi", max_tokens=450)
        router.clock.advance(30)  # type: ignore[attr-defined]  # the virtual clock
        face.complete(router, "hi", max_tokens=450)
        with pytest.raises(BudgetExceededError) as refused:
            face.complete(router, "hi", max_tokens=450)
        assert refused.value.resets_at is not None
        assert 60 <= refused.value.resets_at.timestamp() - router.clock.time() <= 61
        router.clock.advance(32)  # type: ignore[attr-defined]  # the virtual clock
        face.complete(router, "hi", max_tokens=450)
        with pytest.raises(BudgetExceededError):
            face.complete(router, "hi", max_tokens=450)
        assert [share for _, share in parts.tape.thresholds] == [0.5, 0.8], "0.8 is reached twice within one window"


class States(MemoryBudget):
    """Shows each hold's way."""

    def __init__(self) -> None:
        super().__init__()
        self.way: list[str] = []
        self.fail = ""

    def reserve(self, reservation: Reservation) -> None:
        super().reserve(reservation)
        self.way.append("reserve")

    def mark_sent(self, reservation: Reservation) -> None:
        if self.fail == "mark_sent":
            raise OSError("disk on fire")
        super().mark_sent(reservation)
        self.way.append("sent")

    def settle(self, reservation: Reservation, actual: Any) -> None:
        super().settle(reservation, actual)
        self.way.append("settle")

    def release(self, reservation: Reservation) -> None:
        super().release(reservation)
        self.way.append("release")


class Watching(Provider):
    """Notes on the way of the hold when it is asked."""

    def __init__(self, way: list[str]) -> None:
        self.way = way

    def complete(self, call: Any) -> Answer:
        self.way.append("call")
        message: Any = {"role": "assistant", "content": "ok"}
        return Answer(message=message, finish_reason="stop", usage=Usage(input_tokens=1, output_tokens=1))


def test_a_hold_is_marked_before_its_call_leaves(face: Face) -> None:
    budget = States()
    with router_of(Parts(budget), {"scope": "global", "limit_usd": 1}, provider=Watching(budget.way)) as router:
        face.complete(router, "hi", max_tokens=450)
    assert budget.way == ["reserve", "sent", "call", "settle"]


def test_what_cannot_be_marked_is_not_sent_and_not_held(face: Face) -> None:
    budget = States()
    budget.fail = "mark_sent"
    with router_of(Parts(budget), {"scope": "global", "limit_usd": 1}, provider=Watching(budget.way)) as router:
        with pytest.raises(BudgetUnavailableError, match="disk on fire"):
            face.complete(router, "hi", max_tokens=450)
        assert budget.way == ["reserve", "release"]
        assert router.health()[0].in_flight == 0
        budget.fail = ""
        face.complete(router, "hi", max_tokens=450)
    assert budget.way[2:] == ["reserve", "sent", "call", "settle"]


def test_budgets_that_only_warn_do_not_stop_a_call_when_their_store_fails(face: Face) -> None:
    budget = States()
    budget.fail = "mark_sent"
    warn = {"scope": "global", "limit_usd": 1, "on_exceeded": "warn"}
    with router_of(Parts(budget), warn, provider=Watching(budget.way)) as router:
        result = face.complete(router, "hi", max_tokens=450)
    assert budget.way == ["reserve", "release", "call"]
    assert any("store failed" in note for note in result.decision.notes)


def test_a_task_cancelled_while_its_hold_is_marked_leaves_none() -> None:
    budget = States()

    async def slow(reservation: Reservation) -> None:
        await asyncio.sleep(30)

    budget.amark_sent = slow  # type: ignore[method-assign]  # slower than anybody waits

    async def main() -> None:
        with router_of(Parts(budget), {"scope": "global", "limit_usd": 1}, provider=Watching(budget.way)) as router:
            task = asyncio.create_task(router.acomplete("hi", max_tokens=450))
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert router.health()[0].in_flight == 0

    asyncio.run(main())
    assert budget.way == ["reserve", "release"]


def test_explain_refuses_what_a_budget_refuses_and_holds_nothing(face: Face) -> None:
    budgets = {"budgets": [{"scope": "global", "limit_usd": 0.000001, "window": "day"}]}
    provider = ScriptedProvider("abc")
    router = scripted_router({"a": provider}, config={**budgets, "router": {"budget_store": "memory"}})
    with pytest.raises(BudgetExceededError) as explained:
        router.explain("hi")
    with pytest.raises(BudgetExceededError) as asked:
        face.complete(router, "hi")
    assert str(explained.value) == str(asked.value)
    assert provider.calls == []
    assert asked.value.reserved.nanos == 0, "explaining holds nothing"


@pytest.mark.parametrize("streamed", [False, True])
def test_a_callers_short_deadline_speaks_against_nobody(face: Face, streamed: bool) -> None:
    router = scripted_router({"a": ScriptedProvider(*[Reply("abc", delay_s=0.3)] * 20)})
    ask = face.stream if streamed else face.complete
    for _ in range(6):
        with pytest.raises(DeadlineExceededError):
            ask(router, "hi", deadline_s=0.1)
    assert router.health()[0].state == "closed"
    ask(router, "hi", deadline_s=10)
    slow = scripted_router({"a": ScriptedProvider(*[Reply("abc", delay_s=300)] * 20)})
    for _ in range(3):
        with pytest.raises(DeadlineExceededError):
            ask(slow, "hi", deadline_s=30)
    assert slow.health()[0].state == "open", "half a minute of silence does"
