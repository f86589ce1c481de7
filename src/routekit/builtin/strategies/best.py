"""The highest quality."""

from __future__ import annotations

import math
from collections.abc import Sequence

from routekit.builtin.strategies._ranking import all_differ, by_name, costs_of, money_text, quality_text
from routekit.plugin import Strategy
from routekit.types import Candidate, Ranking, RouteDecision, RouteRequest, Signals


class Best(Strategy):
    """The highest quality; of equals the lower expected cost, then the name.

    Fallbacks fall in quality as slowly as there are candidates. The score is the quality, 0..1.
    """

    name = "best"

    def rank(self, request: RouteRequest, candidates: Sequence[Candidate], signals: Signals) -> RouteDecision:
        ordered: Sequence[Candidate] = candidates
        qualities = [candidate.quality for candidate in ordered]
        places = list(range(len(ordered)))
        if not all_differ(qualities):
            costs = costs_of(ordered)
            if not all_differ(costs):
                ordered = by_name(candidates)
                qualities, costs = [candidate.quality for candidate in ordered], costs_of(ordered)
            known = [math.inf if cost is None else cost for cost in costs]
            places.sort(key=known.__getitem__)
        places.sort(key=qualities.__getitem__, reverse=True)
        ranking = Ranking([ordered[i] for i in places], [qualities[i] for i in places])
        return self.decision(ranking, lambda first: _reason(first, ranking), signals)


def _reason(first: Candidate, ranking: Ranking) -> str:
    equals = 1
    while equals < len(ranking) and ranking.scores[equals] == first.quality:
        equals += 1
    if equals == 1:
        return f"the highest quality, {quality_text(first)}, of {len(ranking)}"
    return (
        f"the highest quality, {quality_text(first)}, of {len(ranking)}; of the {equals} that share it the least "
        f"expected cost, {money_text(first.cost_nanos)}"
    )
