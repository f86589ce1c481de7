"""What the engine asks for itself on the way to an answer: judges, verifiers, summarisers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from routekit.engine.attempts.runner import Asking
from routekit.engine.attempts.sequence import Chain
from routekit.engine.io.port import IO
from routekit.engine.permit import Answered
from routekit.engine.plan.decide import Deciding
from routekit.engine.plan.planner import Pool
from routekit.engine.run import Run
from routekit.plugin import Strategy
from routekit.types import Answer, Clock, Ranking, RouteDecision, RouteRequest


class SideCalls:
    """Asks beside a request: routed, held, settled and shown like every other attempt of it."""

    def __init__(
        self, deciding: Deciding, asking: Asking, pool_of: Callable[[RouteRequest], Pool], clock: Clock
    ) -> None:
        self._deciding = deciding
        self._asking = asking
        self._pool_of = pool_of
        self._clock = clock

    async def consult(self, io: IO, run: Run, request: RouteRequest) -> Answered:
        """A judge's answer, of its group in configured order.

        Raises:
            RoutingError: nobody could give it.
        """
        side = Run(request, self._clock)
        decision = await self._deciding.decide(io, side, _AsConfigured(), self._pool_of(request))
        answered = await self._asking.answer(io, run, Chain(decision, role="judge"))
        self._asking.ended(run, answered.permit, "ok", answered.usage)
        return answered

    async def ask_cheapest(self, io: IO, run: Run, request: RouteRequest, role: str = "compressor") -> Answer:
        """The answer of the cheapest that can serve it, within half of the time that is left.

        Raises:
            RoutingError: nobody could give it.
        """
        left_s = run.deadline.remaining_s()
        side = run.aside(within(request, None if left_s is None else left_s / 2), self._clock)
        try:
            decision = await self._deciding.decide(io, side, _Cheapest(), self._pool_of(side.request), wait=False)
            answered = await self._asking.answer(io, side, Chain(decision, role=role))
            self._asking.ended(side, answered.permit, "ok", answered.usage)
            return answered.answer
        finally:
            run.took(side)


def within(request: RouteRequest, limit_s: float | None) -> RouteRequest:
    """The request with at most so many seconds."""
    if limit_s is None or (request.deadline_s is not None and request.deadline_s <= limit_s):
        return request
    return replace(request, deadline_s=limit_s)


class _AsConfigured(Strategy):
    """Configured order: what a judge's group is asked in."""

    name = "as-configured"

    def rank(self, request: RouteRequest, candidates: Any, signals: Any) -> RouteDecision:
        return self.decision(Ranking(list(candidates), [0.0] * len(candidates)), "in configured order", signals)


class _Cheapest(Strategy):
    """By what it is expected to cost, unknown prices last."""

    name = "cheapest-aside"

    def rank(self, request: RouteRequest, candidates: Any, signals: Any) -> RouteDecision:
        ordered = sorted(candidates, key=lambda c: (c.deployment.price is None, c.cost_nanos or 0))
        return self.decision(Ranking(ordered, [0.0] * len(ordered)), "the cheapest that may serve it", signals)
