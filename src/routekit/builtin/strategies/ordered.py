"""The configured order."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field, field_validator

from routekit.builtin.strategies._ranking import by_name, places
from routekit.plugin import Options, Strategy
from routekit.types import Candidate, Ranking, RouteDecision, RouteRequest, Signals


class OrderedOptions(Options):
    order: tuple[str, ...] = Field((), description="Names of deployments, the preferred one first.")

    @field_validator("order")
    @classmethod
    def _each_once(cls, order: tuple[str, ...]) -> tuple[str, ...]:
        for name in order:
            if order.count(name) > 1:
                raise ValueError(f"{name!r} is listed twice; a deployment has one place")
        return order


class Ordered(Strategy):
    """The configured order: the deployments listed in `order`, then the others.

    Those that are not listed stand behind, by falling `weight`, then by name. A listed name that is
    no candidate of a request is passed over: one order may serve several groups, and a deployment
    that cannot take this request is no mistake in the order.

    The score is the place in the chain: its length for the first, 1 for the last.
    """

    name = "ordered"
    Options = OrderedOptions
    options: OrderedOptions

    def rank(self, request: RouteRequest, candidates: Sequence[Candidate], signals: Signals) -> RouteDecision:
        ordered = by_name(candidates)
        ordered.sort(key=_weight, reverse=True)
        order = self.options.order
        if order:
            last = len(order)
            place = dict(zip(order, range(last), strict=True)).get
            ordered.sort(key=lambda candidate: place(candidate.deployment.name, last))
        ranking = Ranking(ordered, places(len(ordered)))
        return self.decision(ranking, self._reason, signals)

    def _reason(self, first: Candidate) -> str:
        name, order = first.deployment.name, self.options.order
        if name in order:
            return f"number {order.index(name) + 1} of the configured order"
        if order:
            return f"nobody of the configured order may serve it; the highest weight, {first.deployment.weight:g}"
        return f"the highest weight, {first.deployment.weight:g}, then the name"


def _weight(candidate: Candidate) -> float:
    return candidate.deployment.weight
