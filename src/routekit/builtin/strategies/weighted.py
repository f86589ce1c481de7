"""A weighted random order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random
from typing import Annotated

from pydantic import Field

from routekit.builtin.strategies._ranking import by_name
from routekit.plugin import Options, Strategy
from routekit.types import Candidate, Ranking, Rejection, RouteDecision, RouteRequest, Signals


class WeightedOptions(Options):
    weights: dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]] = Field(
        default_factory=dict, description="Deployment name to weight, instead of the deployment's own. 0 drains."
    )


class Weighted(Strategy):
    """A random order in which a deployment of twice the weight comes first twice as often.

    The whole chain is a weighted draw without replacement, so fallbacks share a failed place's load
    by their weights too. Weight 0 drains: not asked, not even last. One seed gives one order.

    Efraimidis and Spirakis, "Weighted random sampling with a reservoir" (2006): each candidate draws
    ``u ** (1 / weight)`` and the highest come first. The score is the logarithm of that.
    """

    name = "weighted"
    Options = WeightedOptions
    options: WeightedOptions

    def rank(self, request: RouteRequest, candidates: Sequence[Candidate], signals: Signals) -> RouteDecision:
        weights = self.options.weights
        draw, log = Random(signals.seed).random, math.log
        drawn: list[Candidate] = []
        scores: list[float] = []
        drained: list[Rejection] = []
        total = 0.0
        for candidate in by_name(candidates):
            deployment = candidate.deployment
            weight = weights.get(deployment.name, deployment.weight) if weights else deployment.weight
            if weight > 0:
                total += weight
                drawn.append(candidate)
                scores.append(log(1.0 - draw()) / weight)  # 1 - [0, 1) is never 0, so the logarithm exists
            else:
                drained.append(Rejection(deployment=deployment, code="drained", reason="its weight is 0"))
        order = sorted(range(len(drawn)), key=scores.__getitem__, reverse=True)
        ranking = Ranking([drawn[i] for i in order], [scores[i] for i in order])
        return RouteDecision(
            strategy=self.name,
            ranked=ranking,
            reason=self._reason(ranking, total, bool(drained)),
            rejections=tuple(drained),
            signals=signals,
            path=(self.name,),
        )

    def _reason(self, ranking: Ranking, total: float, drained: bool) -> str:
        if not ranking:
            return "every candidate is drained: its weight is 0" if drained else "no candidate is left"
        first = ranking.candidates[0].deployment
        weight = self.options.weights.get(first.name, first.weight)
        return f"drawn by weight: {weight:g} of {total:g}"
