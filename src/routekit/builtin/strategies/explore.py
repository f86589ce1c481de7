"""Mostly another strategy's choice, and now and then one that is nearly as good: so that logs can be learned from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random

from pydantic import Field

from routekit.builtin.strategies._delegating import Choice, Delegating, StrategyOption
from routekit.plugin import Options
from routekit.types import Candidate, Ranking, RouteDecision, RouteRequest, Signals


class ExploreOptions(Options):
    strategy: StrategyOption = Field("cheapest", description="The strategy whose order is explored around.")
    share: float = Field(0.1, ge=0, le=1, description="Of requests, how many are drawn at all.")
    temperature: float = Field(0.1, gt=0, le=10, description="How evenly is drawn; 0.1 keeps near the best.")
    near: float = Field(0.5, gt=0, le=1, description="Of the range of scores, how far below the best is drawn from.")
    min_quality: float | None = Field(None, ge=0, le=1, description="Nothing below this quality is drawn.")


class Explore(Delegating):
    """Another strategy's choice, and in a `share` of requests one drawn from those whose score is nearly as good.

    The chances are a softmax of the inner strategy's scores, scaled to their own range, over candidates within `near`
    of the best. What the inner strategy leaves out is never drawn, and ceilings of cost hold before it is asked. The
    decision keeps the exact propensity of its choice, which replaying another strategy on the log needs.
    """

    name = "explore"
    Options = ExploreOptions
    options: ExploreOptions

    def nested(self) -> dict[str, object]:
        return {"strategy": self.options.strategy}

    def choose(self, request: RouteRequest) -> Choice:
        return Choice("strategy", "explored around")

    def rank(self, request: RouteRequest, candidates: Sequence[Candidate], signals: Signals) -> RouteDecision:
        decision = super().rank(request, candidates, signals)
        ranked = decision.ranked
        chances = self.chances(ranked)
        if not chances:
            return decision
        place = _drawn(chances, Random(signals.seed).random())
        reason, order = decision.reason, list(range(len(ranked)))
        if place:
            order.insert(0, order.pop(place))
            name = ranked.candidates[place].name
            reason = f"drawn to explore, with a chance of {chances[place]:.1%}: {name}; {reason}"
        return RouteDecision(
            strategy=self.name,
            # Who is drawn first stands in for the best: scores never rise along a ranking.
            ranked=Ranking(
                [ranked.candidates[i] for i in order], [ranked.scores[0], *(ranked.scores[i] for i in order[1:])]
            ),
            reason=reason,
            rejections=decision.rejections,
            signals=decision.signals,
            path=decision.path,
            notes=decision.notes,
            propensity=chances[place],
        )

    def chances(self, ranked: Ranking) -> list[float]:
        """The chance of each candidate, in the inner strategy's order, to be the first; they add up to 1."""
        scores, options = ranked.scores, self.options
        if not scores:
            return []
        best, span = scores[0], scores[0] - scores[-1]
        if not math.isfinite(span) or span <= 0:
            loss = [0.0 if score == best else math.inf for score in scores]
        else:
            loss = [(best - score) / span for score in scores]
        bar = options.min_quality
        weights = [
            math.exp(-lost / options.temperature)
            if lost <= options.near and (bar is None or candidate.quality >= bar)
            else 0.0
            for lost, candidate in zip(loss, ranked.candidates, strict=True)
        ]
        total = math.fsum(weights)
        if total <= 0:
            return [1.0] + [0.0] * (len(scores) - 1)
        drawn = [options.share * weight / total for weight in weights]
        drawn[0] += 1.0 - options.share
        return drawn


def _drawn(chances: Sequence[float], left: float) -> int:
    """The place that a number in [0, 1) falls on; the first where rounding leaves it beyond the last."""
    for place, chance in enumerate(chances):
        left -= chance
        if left < 0:
            return place
    return 0
