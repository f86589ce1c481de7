"""The less loaded of two."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from pydantic import Field

from routekit.builtin.strategies._ranking import by_name, live, median_or, places, with_failures
from routekit.plugin import Options, Strategy
from routekit.types import Candidate, Ranking, RouteDecision, RouteRequest, Signals


class LeastBusyOptions(Options):
    prior_s: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="Seconds that a call is taken to need where nothing was seen. Default: the median of the others.",
    )


class LeastBusy(Strategy):
    """The less loaded of two candidates drawn at random; the others behind it by rising load.

    Load is ``(calls in flight + 1) x peak EWMA of the latency``, which is the time a new call would
    wait if the place served one after the other, divided by the share of calls that succeed: a place
    that fails fast is not an idle one. Two random choices keep many routers from rushing to the one
    that looks idle to all of them, and come close to the best balance there is: Mitzenmacher, "The
    power of two choices in randomized load balancing" (2001). The peak EWMA is Finagle's.

    The score is the place in the chain: its length for the first, 1 for the last.
    """

    name = "least-busy"
    Options = LeastBusyOptions
    options: LeastBusyOptions
    uses_load = True
    uses_latency = True

    def rank(self, request: RouteRequest, candidates: Sequence[Candidate], signals: Signals) -> RouteDecision:
        ordered = by_name(candidates)
        if not ordered:
            return self.decision(Ranking(), "no candidate is left", signals)
        in_flight = signals.in_flight
        seen = [live(candidate, signals) for candidate in ordered]
        peaks = [latency.peak_ewma_s if latency else None for latency in seen]
        prior = self.options.prior_s or median_or([peak for peak in peaks if peak is not None], 1.0)
        loads = [
            with_failures((in_flight.get(c.deployment.name, 0) + 1) * (prior if peak is None else peak), latency)
            for c, peak, latency in zip(ordered, peaks, seen, strict=True)
        ]
        order = sorted(range(len(ordered)), key=loads.__getitem__)
        if len(ordered) == 1:
            reason = "the only candidate"
        else:
            pair = Random(signals.seed).sample(range(len(ordered)), 2)
            winner, loser = sorted(sorted(pair), key=loads.__getitem__)
            order.remove(winner)
            order.insert(0, winner)
            calls = in_flight.get(ordered[winner].deployment.name, 0)
            reason = (
                f"the less loaded of two drawn: {calls} in flight, load {loads[winner]:.3g} s, against "
                f"{loads[loser]:.3g} s of {ordered[loser].deployment.name}"
            )
        return self.decision(Ranking([ordered[i] for i in order], places(len(order))), reason, signals)
