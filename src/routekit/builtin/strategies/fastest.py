"""The least expected time."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Literal

from pydantic import Field

from routekit.builtin.strategies._ranking import by_name, live, median_or, with_failures
from routekit.plugin import Options, Strategy
from routekit.types import Candidate, Latency, Ranking, RouteDecision, RouteRequest, Signals

COLD_SHARE = 0.5
"""An unseen place is taken to be twice as fast as the median one: optimism in the face of uncertainty."""

FAILING = 0.5
"""From this failure rate on, a place is not explored: its figures are bad enough to be known."""


class FastestOptions(Options):
    percentile: Literal["p50", "p95"] = Field("p50", description="p50: usually fast. p95: rarely slow.")
    explore: float = Field(0.03, ge=0, le=1, description="The share of requests that go to another one than the first.")
    prior_s: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="Expected seconds where nothing was seen. Default: half the median of the others, else 1.",
    )


class Fastest(Strategy):
    """The least expected time: to the first token of a stream, otherwise to the whole answer.

    Times are live percentiles of each deployment, and grow with its failure rate: a failed call has
    to be made again. A whole answer's time is the one seen, or the time to the first token plus that
    of the likely output tokens.

    A deployment that nothing was seen of lately is taken to be fairly fast, so that it gets its
    chance; while it has calls in flight it counts as that much slower, so that not all of a burst
    tries it at once. A small share of the requests (`explore`) goes to a random other candidate: one
    that was slow once is noticed when it recovers.

    The score is the negative expected time in seconds. An explored candidate carries the score of
    the one whose place it took.
    """

    name = "fastest"
    Options = FastestOptions
    options: FastestOptions
    uses_latency = True
    uses_load = True

    def rank(self, request: RouteRequest, candidates: Sequence[Candidate], signals: Signals) -> RouteDecision:
        ordered = by_name(candidates)
        if not ordered:
            return self.decision(Ranking(), "no candidate is left", signals)
        tail, stream = self.options.percentile == "p95", request.stream
        seen = [live(candidate, signals) for candidate in ordered]
        times = [
            None if latency is None else _seen_time(latency, candidate.work.output_tokens, tail, stream)
            for candidate, latency in zip(ordered, seen, strict=True)
        ]
        prior = self.options.prior_s
        if prior is None:
            prior = COLD_SHARE * median_or([time for time in times if time is not None], 1.0 / COLD_SHARE)
        in_flight = signals.in_flight
        scores = [
            -with_failures(prior * (1 + in_flight.get(c.deployment.name, 0)) if time is None else time, latency)
            for c, time, latency in zip(ordered, times, seen, strict=True)
        ]
        places = sorted(range(len(ordered)), key=scores.__getitem__, reverse=True)
        what = "first token" if stream else "whole answer"
        explored = self._explored(places, seen, signals.seed)
        if explored is None:
            first = places[0]
            known = f"{self.options.percentile} of recent calls" if times[first] is not None else "not seen lately"
            reason = f"the least expected time to the {what}, {-scores[first]:.3g} s ({known}), of {len(ordered)}"
        else:
            reason = (
                f"explored: {self.options.explore:.0%} of requests try another one than the fastest, "
                f"which is {ordered[places[0]].deployment.name} with {-scores[places[0]]:.3g} s to the {what}"
            )
            scores[explored] = scores[places[0]]
            places.remove(explored)
            places.insert(0, explored)
        return self.decision(Ranking([ordered[i] for i in places], [scores[i] for i in places]), reason, signals)

    def _explored(self, places: list[int], seen: list[Latency | None], seed: int) -> int | None:
        """Who takes the first place for once, or None most of the time."""
        if not self.options.explore or len(places) < 2:
            return None
        draw = Random(seed)
        if draw.random() >= self.options.explore:
            return None
        others = [i for i in places[1:] if (latency := seen[i]) is None or latency.failure_rate < FAILING]
        return draw.choice(others) if others else None


def _seen_time(latency: Latency, output_tokens: int, tail: bool, stream: bool) -> float | None:
    """Seconds by live figures, or None where there are none. An answer's end bounds its first token."""
    ttft = latency.ttft_p95_s if tail else latency.ttft_p50_s
    total = latency.total_p95_s if tail else latency.total_p50_s
    if stream:
        return total if ttft is None else ttft
    if total is not None or ttft is None:
        return total
    return ttft + output_tokens * (latency.per_token_s or 0.0)
