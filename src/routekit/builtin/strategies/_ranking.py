"""What several strategies need to put candidates in order. Pure.

A thousand candidates are sorted by whole lists of keys: one sort per key, the least important
first. Python's sort is stable, so that equals a sort by tuples at a fraction of its time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import attrgetter
from statistics import median

from routekit.types import Candidate, Latency, Money, Signals
from routekit.types.price import TOKENS_PER_PRICE

SURVIVAL_FLOOR = 0.05
"""The least share of calls that is taken to succeed: keeps a wholly failed place's figures finite."""

_name = attrgetter("deployment.name")


def by_name(candidates: Iterable[Candidate]) -> list[Candidate]:
    """The order that ties fall back to, whatever order the candidates came in."""
    return sorted(candidates, key=_name)


def costs_of(candidates: Sequence[Candidate]) -> list[int | None]:
    """Each one's `cost_nanos`. The usual case is worked out here: a thousand property calls take a third longer."""
    costs: list[int | None] = []
    work = None
    taken = given = 0
    for candidate in candidates:
        price = candidate.deployment.model.price
        if price is None or candidate.cached_tokens or price.tiers or price.services:
            costs.append(candidate.cost_nanos)
            continue
        if candidate.work is not work:
            work = candidate.work
            taken, given = work.input_tokens, work.output_tokens
        costs.append(-(-(taken * price.input + given * price.output) // TOKENS_PER_PRICE) + price.per_request)
    return costs


def all_differ(values: Sequence[object]) -> bool:
    """Whether no two are equal, so that no tie is left to break."""
    return len(set(values)) == len(values)


def places(count: int) -> list[float]:
    """Scores of a chain that no single figure puts in order: its length for the first, 1 for the last."""
    return list(range(count, 0, -1))


def live(candidate: Candidate, signals: Signals) -> Latency | None:
    """What is known about a candidate's latency."""
    return candidate.latency or signals.latency.get(candidate.deployment.name)


def with_failures(seconds: float, latency: Latency | None) -> float:
    """The expected time until a call succeeds when each failure costs as much as a success."""
    if latency is None or not latency.failure_rate:
        return seconds
    return seconds / max(SURVIVAL_FLOOR, 1.0 - latency.failure_rate)


def median_or(known: Sequence[float], default: float) -> float:
    """The median, or `default` of nothing."""
    return median(known) if known else default


def money_text(nanos: int | None) -> str:
    """An amount for people."""
    return "an unknown cost" if nanos is None else str(Money(nanos))


def quality_text(candidate: Candidate) -> str:
    """A quality for people; says when nobody measured it."""
    return f"{candidate.quality:g} (inferred)" if candidate.quality_inferred else f"{candidate.quality:g}"
