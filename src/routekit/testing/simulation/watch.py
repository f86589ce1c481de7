"""What is promised of every request, checked at every event of a simulation."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable
from typing import Any

from routekit.builtin.budgets.memory import MemoryBudget
from routekit.engine.health.health import HealthRow
from routekit.errors import BudgetExceededError, RoutekitError
from routekit.plugin import BudgetPlugin, Observer, ObserverPlugin, Provider, ProviderPlugin, hookimpl
from routekit.testing.simulation.provider import MINUTE_S, SimulatedProvider
from routekit.testing.simulation.scenario import PROVIDER, DeploymentTable
from routekit.types import AttemptEnded, AttemptStarted, Clock, Event, Money, RequestEnded, RequestStarted, Reservation

CLOCK_SLACK_S = 1e-6
"""Times are sums of floating-point numbers."""


class PromiseBrokenError(AssertionError):
    """A simulation saw the router break a promise. `broken` says which; the message names the seed."""

    def __init__(self, scenario: str, seed: int, broken: Iterable[str]) -> None:
        self.seed, self.broken = seed, tuple(broken)
        super().__init__(f"{scenario}, seed {seed}: " + "; ".join(self.broken[:5]))


class WatchedBudget(MemoryBudget):
    """Balances in memory that notice what must not be: spending over a limit, a hold without an end."""

    def __init__(self, clock: Clock, broken: Callable[[str], None]) -> None:
        super().__init__(clock=clock)
        self._broken = broken
        self.holds: dict[str, Reservation] = {}
        self.settled_nanos = 0

    def reserve(self, reservation: Reservation) -> None:
        super().reserve(reservation)
        if reservation.id in self.holds:
            self._broken(f"the hold {reservation.id} was taken twice")
        self.holds[reservation.id] = reservation
        self._check(reservation)

    def settle(self, reservation: Reservation, actual: Money) -> None:
        super().settle(reservation, actual)
        if self.holds.pop(reservation.id, None) is None:
            self._broken("a hold was ended twice")
        else:
            self.settled_nanos += actual.nanos
        self._check(reservation)

    def release(self, reservation: Reservation) -> None:
        super().release(reservation)
        self.holds.pop(reservation.id, None)

    def _check(self, reservation: Reservation) -> None:
        for charge in reservation.charges:
            used = self.balance(charge).used
            if charge.hard and used > charge.limit:
                self._broken(f"{used} of budget {charge.scope!r} are spent or held, its limit is {charge.limit}")


class Watch(Observer):
    """Hears every event. `broken` collects the promises that were not kept, in order of time."""

    def __init__(self, deployments: Iterable[DeploymentTable], clock: Clock, max_attempts: int) -> None:
        self._tables = {table.name: table for table in deployments}
        self._clock = clock
        self._max_attempts = max_attempts
        self._rows: Callable[[], list[HealthRow]] = list
        self.broken: list[str] = []
        self.budget = WatchedBudget(clock, self._break)
        self.provider: SimulatedProvider | None = None
        self._requests: dict[str, RequestStarted] = {}
        self._started: Counter[str] = Counter()
        self._active: Counter[str] = Counter()
        self._minutes: dict[str, deque[float]] = {name: deque() for name in self._tables}
        self._probes: dict[str, Counter[str]] = {name: Counter() for name in self._tables}
        self.attempts = 0
        self.cost_nanos = 0
        self.ended = 0

    def watches(self, rows: Callable[[], list[HealthRow]]) -> None:
        """Where the state of the deployments is seen."""
        self._rows = rows

    def __call__(self, event: Event) -> None:
        if isinstance(event, AttemptStarted):
            self._attempt_started(event)
        elif isinstance(event, AttemptEnded):
            self._attempt_ended(event)
        elif isinstance(event, RequestStarted):
            self._requests[event.request_id] = event
        elif isinstance(event, RequestEnded):
            self._request_ended(event)
        if self.provider is not None and (wire := sum(self.provider.calls.values())) > self.attempts:
            self._break(f"{wire} calls reached the wire, {self.attempts} attempts were told of")

    def finish(self) -> None:
        """Checks what must hold when every request has ended."""
        for row in self._rows():
            if row.in_flight:
                self._break(f"{row.in_flight} calls are counted as under way at {row.deployment} after the end")
        for name, active in self._active.items():
            if active:
                self._break(f"{active} attempts at {name} never ended")
        if self._requests:
            self._break(f"{len(self._requests)} requests never ended")
        if self.budget.holds:
            self._break(f"{len(self.budget.holds)} holds were never settled or released")
        if self.provider is not None:
            for name, active in self.provider.active.items():
                if active:
                    self._break(f"{active} connections to {name} are still open")

    def spent(self) -> None:
        """Checks the balances against the attempts; only where every attempt was charged."""
        if self.budget.settled_nanos != self.cost_nanos:
            self._break(f"attempts cost {self.cost_nanos} nanos, budgets were charged {self.budget.settled_nanos}")

    def _attempt_started(self, event: AttemptStarted) -> None:
        name, now = event.deployment.name, self._clock.monotonic()
        self.attempts += 1
        self._started[event.request_id] += 1
        self._active[name] += 1
        if (count := self._started[event.request_id]) > self._max_attempts:
            self._break(f"attempt {count} of one request began")
        if event.request_id not in self._requests:
            self._break("an attempt began outside of its request")
        limits = self._tables[name].limits
        if limits.concurrency is not None and self._active[name] > limits.concurrency:
            self._break(f"{self._active[name]} calls at once at {name}, its limit is {limits.concurrency}")
        minute = self._minutes[name]
        while minute and now - minute[0] >= MINUTE_S:
            minute.popleft()
        minute.append(now)
        if limits.rpm is not None and len(minute) > limits.rpm:
            self._break(f"{len(minute)} requests within a minute at {name}, its limit is {limits.rpm}")
        for row in self._rows():
            if row.in_flight < 0:
                self._break(f"{row.in_flight} calls are counted as under way at {row.deployment}")
            if row.deployment == name and row.state != "closed":
                self._probes[name][event.request_id] += 1
                if (probing := self._probes[name].total()) > 1:
                    self._break(f"{probing} probes at once at {name}")

    def _attempt_ended(self, event: AttemptEnded) -> None:
        name = event.attempt.deployment.name
        self.cost_nanos += event.attempt.cost.nanos
        self._active[name] -= 1
        if self._active[name] < 0:
            self._break(f"an attempt at {name} ended that had not begun")
        probes = self._probes[name]
        if probes[event.request_id]:
            probes[event.request_id] -= 1

    def _request_ended(self, event: RequestEnded) -> None:
        self.ended += 1
        begun = self._requests.pop(event.request_id, None)
        if begun is None:
            self._break("a request ended twice")
            return
        deadline_s, took_s = begun.request.deadline_s, event.at - begun.at
        if deadline_s is not None and took_s > deadline_s + CLOCK_SLACK_S:
            self._break(f"a request took {took_s:.6f} s, its deadline was {deadline_s:g} s")
        if event.result is not None:
            total = sum(attempt.cost.nanos for attempt in event.result.attempts)
            if total != event.result.cost.nanos:
                self._break(f"a result says {event.result.cost.nanos} nanos, its attempts {total}")
            if len(event.result.attempts) != self._started[event.request_id]:
                count = len(event.result.attempts)
                self._break(f"a result has {count} attempts, {self._started[event.request_id]} began")
        elif isinstance(event.error, Exception) and not isinstance(event.error, RoutekitError):
            self._break(f"an untyped error: {type(event.error).__name__}: {event.error}")
        elif isinstance(event.error, BudgetExceededError) and not event.error.asked.nanos:
            self._break("a call that costs nothing was refused by a budget")

    def note(self, what: str) -> None:
        """Records a promise that was seen broken elsewhere."""
        self._break(what)

    def _break(self, what: str) -> None:
        self.broken.append(f"at {self._clock.monotonic():.6f} s: {what}")


class Stage:
    """A module with hooks: what a simulated router is made of, registered under one name."""

    __name__ = "routekit simulation"

    def __init__(self, provider: Provider, watch: Watch) -> None:
        self._provider = provider
        self._watch = watch

    @hookimpl
    def routekit_providers(self) -> list[ProviderPlugin]:
        return [ProviderPlugin(name=PROVIDER, factory=self._give(self._provider), summary="plays a scenario")]

    @hookimpl
    def routekit_budgets(self) -> list[BudgetPlugin]:
        return [BudgetPlugin(name=PROVIDER, factory=self._give(self._watch.budget), summary="watched balances")]

    @hookimpl
    def routekit_observers(self) -> list[ObserverPlugin]:
        return [ObserverPlugin(name=PROVIDER, factory=self._give(self._watch), summary="checks promises")]

    @staticmethod
    def _give(thing: Any) -> Callable[[Any, Any], Any]:
        return lambda options, context: thing
