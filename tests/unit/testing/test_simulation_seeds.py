"""Scenarios drawn from seeds, with every promise checked at every event. ROUTEKIT_SEEDS=100000 plays more of them."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import Any

import pytest

from routekit.engine.budget.reservations import Bill, Billing
from routekit.engine.deadline import Deadline
from routekit.engine.health.breaker import Breaker
from routekit.engine.health.health import Health
from routekit.engine.health.limits import _Place
from routekit.testing import PromiseBrokenError, random_scenario, simulate, simulate_seed
from routekit.testing.simulation.provider import SimulatedProvider
from routekit.testing.simulation.scenario import Scenario
from routekit.testing.simulation.watch import MemoryBudget
from routekit.types import Chunk, Money

SEEDS = int(os.environ.get("ROUTEKIT_SEEDS", "500"))
PARTS = 20
SIZE = math.ceil(SEEDS / PARTS)


@pytest.mark.timeout(120 + SIZE)
@pytest.mark.parametrize("part", range(PARTS))
def test_no_promise_is_broken(part: int) -> None:
    broken = []
    for seed in range(part * SIZE, min(SEEDS, (part + 1) * SIZE)):
        try:
            simulate_seed(seed)
        except Exception as error:
            broken.append(f"simulate_seed({seed}) raises {type(error).__name__}: {error}")
    assert not broken, "\n".join(broken[:5])


def test_the_seeds_reach_what_they_are_meant_to_reach() -> None:
    seen: set[str] = set()
    hits = abandoned = 0
    for seed in range(80):
        report = simulate_seed(seed)
        seen |= {*report.errors, f"{report.most_attempts} attempts"}
        hits += report.cache_hits
        abandoned += report.abandoned
    assert seen >= {
        "AllAttemptsFailedError", "AllUnavailableError", "BudgetExceededError", "DeadlineExceededError",
        "StreamInterruptedError", "3 attempts",
    }  # fmt: skip
    assert hits > 50
    assert abandoned > 10


def first_broken(seeds: range = range(150)) -> str:
    for seed in seeds:
        first, again = _broken(seed), _broken(seed)
        if first:
            assert [_nameless(text) for text in first] == [_nameless(text) for text in again], "it is seen again"
            return " | ".join(first)
    return "nothing was broken"


def _broken(seed: int) -> tuple[str, ...]:
    try:
        simulate_seed(seed)
    except PromiseBrokenError as error:
        return error.broken
    return ()


def _nameless(text: str) -> str:
    return " ".join(word for word in text.split() if len(word) < 16)


def no_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Place, "over_limit", lambda self, tokens, now, ticket=None: None)


def forgotten_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    def settle(self: Billing, run: Any, permit: Any, usage: Any) -> Bill:
        return Bill(Money(0), True)

    monkeypatch.setattr(Billing, "settle", settle)


def half_bills(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = MemoryBudget.settle

    def settle(self: MemoryBudget, reservation: Any, actual: Money) -> None:
        whole(self, reservation, actual)

    def watched(self: Any, reservation: Any, actual: Money, true: Any = None) -> None:
        original(self, reservation, Money(actual.nanos // 2))

    from routekit.testing.simulation.watch import WatchedBudget

    original = WatchedBudget.settle
    monkeypatch.setattr(MemoryBudget, "settle", settle)
    monkeypatch.setattr(WatchedBudget, "settle", watched)


def generous_budgets(monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    whole = MemoryBudget.reserve

    def reserve(self: MemoryBudget, reservation: Any) -> None:
        charges = tuple(replace(charge, hard=False) for charge in reservation.charges)
        whole(self, replace(reservation, charges=charges))

    monkeypatch.setattr(MemoryBudget, "reserve", reserve)


def probes_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Breaker, "shut", lambda self, now: None)
    monkeypatch.setattr("routekit.engine.health.probes.Probes.take", lambda self, name: True)


def leaking_permits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Health, "left", lambda self, call: None)


def endless_deadlines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Deadline, "remaining_s", lambda self: None)


def cut_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = SimulatedProvider._play

    async def play(self: SimulatedProvider, *args: Any) -> Any:
        kept: list[Chunk] = []
        async for chunk in whole(self, *args):
            kept.append(chunk)
            if chunk.finish_reason or len(kept) < 3:
                yield chunk

    monkeypatch.setattr(SimulatedProvider, "_play", play)


def secret_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = SimulatedProvider._play

    async def play(self: SimulatedProvider, call: Any, *args: Any) -> Any:
        self.calls[call.deployment.name] += 1  # as if it had been sent twice
        async for chunk in whole(self, call, *args):
            yield chunk

    monkeypatch.setattr(SimulatedProvider, "_play", play)


@pytest.mark.parametrize(
    ("sabotage", "seen"),
    [
        (no_limits, "its limit is"),
        (forgotten_holds, "never settled"),
        (half_bills, "budgets were charged"),
        (generous_budgets, "are spent or held"),
        (probes_for_all, "probes at once"),
        (leaking_permits, "counted as under way"),
        (endless_deadlines, "its deadline was"),
        (cut_answers, "is not whole"),
        (secret_calls, "reached the wire"),
    ],
)
def test_a_router_that_breaks_a_promise_is_caught(
    monkeypatch: pytest.MonkeyPatch, sabotage: Callable[[pytest.MonkeyPatch], None], seen: str
) -> None:
    sabotage(monkeypatch)
    assert seen in first_broken()


def test_one_attempt_too_many_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    from routekit.testing.simulation import run

    class Strict(run.Watch):
        def __init__(self, deployments: Any, clock: Any, max_attempts: int) -> None:
            super().__init__(deployments, clock, max_attempts - 1)

    monkeypatch.setattr(run, "Watch", Strict)
    assert "attempt 3 of one request began" in first_broken()


def test_a_seed_is_a_scenario_for_ever() -> None:
    assert random_scenario(5) == random_scenario(5) != random_scenario(6)
    assert isinstance(random_scenario(5), Scenario)
    assert simulate(random_scenario(5), seed=5) == simulate_seed(5)
