"""The least expected cost."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from routekit.builtin.strategies._affinity import moved_first, stays_in_loop, told, with_switching
from routekit.builtin.strategies._ranking import all_differ, by_name, costs_of, money_text, places, quality_text
from routekit.plugin import Options, Strategy
from routekit.types import Candidate, Ranking, Rejection, RouteDecision, RouteRequest, Signals


class CheapestOptions(Options):
    min_quality: float = Field(0.0, ge=0, le=1, description="Candidates below this quality (0..1) are not asked.")
    affinity: bool = Field(
        True, description="Whether what leaving a conversation's prompt cache loses counts, and a tool loop stays."
    )
    strict: bool = Field(
        True, description="Whether nobody is asked when all are below min_quality. Off: the best there is, then."
    )


class Cheapest(Strategy):
    """The least expected cost among the candidates of sufficient quality; fallbacks rise in quality.

    The cost is the expected one: likely input tokens, less what the provider still holds in its
    prompt cache, and a typical answer. Behind the first stand those that are as good or better, by
    rising quality (equal quality by cost), so that a fallback is not a weaker model while there is
    another one; then the weaker ones, best first. Where no price is known, a candidate stands
    behind all whose price is.

    Inside a conversation it switches only when that pays: leaving the deployment whose provider holds the
    conversation's beginning in its prompt cache counts as a cost, and a tool loop ends where it began.

    The score is the place in the chain: its length for the first, 1 for the last.
    """

    name = "cheapest"
    Options = CheapestOptions
    options: CheapestOptions

    def rank(self, request: RouteRequest, candidates: Sequence[Candidate], signals: Signals) -> RouteDecision:
        floor = self.options.min_quality
        fit = candidates if floor <= 0 else [c for c in candidates if c.quality >= floor]
        if not fit and candidates:
            return self._none_fits(candidates, signals)
        ordered: Sequence[Candidate] = fit
        costs = costs_of(fit)
        if not all_differ(costs):
            ordered = by_name(fit)
            costs = costs_of(ordered)
        held = self.options.affinity and signals.holder is not None
        if held:
            costs = with_switching(costs, ordered)
        chain = _chain([c for c, cost in zip(ordered, costs, strict=True) if cost is not None],
                       [cost for cost in costs if cost is not None])  # fmt: skip
        if len(chain) < len(fit):
            unpriced = [c for c, cost in zip(ordered, costs, strict=True) if cost is None]
            chain += _chain(unpriced, [0] * len(unpriced))
        stays = stays_in_loop(chain, signals, self.name) if held else None
        if stays:
            chain = moved_first(chain, stays)
        reason = self._reason(chain)
        if held and chain:
            reason = told(reason, chain[0], signals, in_loop=stays is not None)
        return RouteDecision(
            strategy=self.name,
            ranked=Ranking(chain, places(len(chain))),
            reason=reason,
            rejections=self._too_weak(candidates) if len(fit) < len(candidates) else (),
            signals=signals,
            path=(self.name,),
        )

    def _reason(self, chain: list[Candidate]) -> str:
        if not chain:
            return "no candidate is left"
        first, floor = chain[0], self.options.min_quality
        among = f"of {len(chain)} with quality of at least {floor:g}" if floor > 0 else f"of {len(chain)}"
        cost = first.cost_nanos
        if cost is None:
            return f"no price is known {among}; the best quality, {quality_text(first)}"
        return f"the least expected cost, {money_text(cost)}, {among}; its quality is {quality_text(first)}"

    def _none_fits(self, candidates: Sequence[Candidate], signals: Signals) -> RouteDecision:
        ordered = by_name(candidates)
        ordered.sort(key=_cost_or_last)
        ordered.sort(key=_quality, reverse=True)
        best, floor = ordered[0], self.options.min_quality
        if self.options.strict:
            return RouteDecision(
                strategy=self.name,
                ranked=Ranking(),
                reason=f"no candidate has quality of at least {floor:g}; the best has {quality_text(best)}",
                rejections=self._too_weak(candidates),
                signals=signals,
                path=(self.name,),
            )
        return RouteDecision(
            strategy=self.name,
            ranked=Ranking(ordered, places(len(ordered))),
            reason=f"the best quality there is, {quality_text(best)}: nobody has the {floor:g} that was asked for",
            signals=signals,
            path=(self.name,),
        )

    def _too_weak(self, candidates: Sequence[Candidate]) -> tuple[Rejection, ...]:
        floor = self.options.min_quality
        reasons: dict[tuple[float, bool], str] = {}
        rejections = []
        for candidate in by_name(c for c in candidates if c.quality < floor):
            key = (candidate.quality, candidate.quality_inferred)
            reason = reasons.get(key)
            if reason is None:
                reason = reasons[key] = f"quality {quality_text(candidate)} is below min_quality {floor:g}"
            rejections.append(Rejection(deployment=candidate.deployment, code="quality", reason=reason))
        return tuple(rejections)


def _chain(ordered: list[Candidate], costs: list[int]) -> list[Candidate]:
    """The cheapest of `ordered`, then the others as the class says. Those of equal cost stand by name."""
    if len(ordered) < 2:
        return ordered
    qualities = [candidate.quality for candidate in ordered]
    least = min(costs)
    first = costs.index(least)
    if costs.count(least) > 1:
        first = max((i for i, cost in enumerate(costs) if cost == least), key=lambda i: (qualities[i], -i))
    floor = qualities[first]
    by_cost = sorted(range(len(ordered)), key=costs.__getitem__)
    by_cost.remove(first)
    rising = sorted(by_cost, key=qualities.__getitem__)
    chain = [ordered[first], *(ordered[i] for i in rising if qualities[i] >= floor)]
    if len(chain) < len(ordered):
        weaker = sorted((i for i in by_cost if qualities[i] < floor), key=qualities.__getitem__, reverse=True)
        chain += [ordered[i] for i in weaker]
    return chain


def _quality(candidate: Candidate) -> float:
    return candidate.quality


def _cost_or_last(candidate: Candidate) -> float:
    cost = candidate.cost_nanos
    return float("inf") if cost is None else cost
