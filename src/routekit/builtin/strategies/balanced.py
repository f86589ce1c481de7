"""One dial between cost and quality."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from pydantic import Field

from routekit.builtin.strategies._affinity import stays_in_loop, told, with_switching
from routekit.builtin.strategies._ranking import (
    by_name,
    costs_of,
    live,
    median_or,
    money_text,
    quality_text,
    with_failures,
)
from routekit.plugin import Options, Strategy
from routekit.types import Candidate, Ranking, RouteDecision, RouteRequest, Signals


class BalancedOptions(Options):
    dial: float = Field(0.5, ge=0, le=1, description="0: cost only. 1: quality only.")
    affinity: bool = Field(
        True, description="Whether what leaving a conversation's prompt cache loses counts, and a tool loop stays."
    )
    latency_weight: float = Field(0.0, ge=0, le=1, description="The share of the score that speed has.")


class Balanced(Strategy):
    """One dial between cost and quality, with a share for speed where it is wanted.

    ::

        score = (1 - w) * (dial * quality + (1 - dial) * cheapness) + w * speed

    with ``w = latency_weight`` and three figures from 0 (the worst of these candidates) to 1 (the
    best of them)::

        quality   = (q - min q) / (max q - min q)
        cheapness = (log max c - log c) / (log max c - log min c)    c: expected cost in nano-dollars + 1
        speed     = (log max t - log t) / (log max t - log min t)    t: median seconds of a whole answer

    Cost and time enter by their logarithm because they span magnitudes: half the price is worth the
    same at either end. Where all candidates are equal a figure is 1 for each. An unknown price counts as the
    dearest, an unknown time as the median one; failures lengthen a time. Equal scores go to the
    higher quality, then to the name. The score is between 0 and 1.

    Inside a conversation c has on top what leaving its holder's prompt cache would lose, and a tool loop
    ends where it began; the one that stays for that stands first with whatever score it has.
    """

    name = "balanced"
    Options = BalancedOptions
    options: BalancedOptions

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.uses_latency = self.options.latency_weight > 0

    def rank(self, request: RouteRequest, candidates: Sequence[Candidate], signals: Signals) -> RouteDecision:
        ordered = by_name(candidates)
        if not ordered:
            return self.decision(Ranking(), "no candidate is left", signals)
        dial, weight = self.options.dial, self.options.latency_weight
        raw = [candidate.quality for candidate in ordered]
        held = self.options.affinity and signals.holder is not None
        quality, cheapness = _shares(raw), _cheapness(ordered, held)
        part_q, part_c = (1 - weight) * dial, (1 - weight) * (1 - dial)
        scores = [part_q * q + part_c * c for q, c in zip(quality, cheapness, strict=True)]
        if weight:
            speed = _speed(ordered, signals)
            scores = [score + weight * s for score, s in zip(scores, speed, strict=True)]
        places = sorted(range(len(ordered)), key=raw.__getitem__, reverse=True)
        places.sort(key=scores.__getitem__, reverse=True)
        stays = stays_in_loop([ordered[i] for i in places], signals, self.name) if held else None
        if stays:
            places.insert(0, places.pop(stays))
        first = places[0]
        reason = (
            f"the best balance at dial {dial:g}: quality {quality_text(ordered[first])}, expected cost "
            f"{money_text(ordered[first].cost_nanos)}, score {scores[first]:.3f}"
        )
        if held:
            reason = told(reason, ordered[first], signals, in_loop=stays is not None)
        return self.decision(Ranking([ordered[i] for i in places], [scores[i] for i in places]), reason, signals)


def _cheapness(candidates: list[Candidate], held: bool) -> list[float]:
    costs = costs_of(candidates)
    if held:
        costs = with_switching(costs, candidates)
    known = [-math.log1p(cost) for cost in costs if cost is not None]
    if len(known) == len(costs):
        return _shares(known)
    if not known:
        return [1.0] * len(costs)
    shares = iter(_shares(known))
    return [0.0 if cost is None else next(shares) for cost in costs]


def _speed(candidates: list[Candidate], signals: Signals) -> list[float]:
    seen = [live(candidate, signals) for candidate in candidates]
    times = [latency.total_p50_s if latency else None for latency in seen]
    prior = median_or([time for time in times if time is not None], 1.0)
    # A millisecond more keeps a time of zero, which a coarse clock can report, out of the logarithm.
    return _shares(
        [
            -math.log(0.001 + with_failures(prior if time is None else time, latency))
            for time, latency in zip(times, seen, strict=True)
        ]
    )


def _shares(values: list[float]) -> list[float]:
    """Each value's place between the least (0) and the greatest (1); 1 for each where all are equal."""
    least, greatest = min(values), max(values)
    width = greatest - least
    if width <= 0:
        return [1.0] * len(values)
    return [(value - least) / width for value in values]
