"""What came of a simulation, in figures."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from routekit.types import Money

SLICES = 24
"""Parts that the time line is cut into."""

_DIGITS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one request ended. Times are seconds; `at` counts from the start of the simulation.

    `error` is the class of the error, None for an answer; `abandoned` says that its caller went away.
    """

    at: float
    duration_s: float
    error: str | None = None
    ttft_s: float | None = None
    cost_nanos: int = 0
    attempts: int = 0
    deployment: str | None = None
    cached: bool = False
    abandoned: bool = False

    @property
    def ok(self) -> bool:
        return self.error is None and not self.abandoned


@dataclass(frozen=True, slots=True, kw_only=True)
class Percentiles:
    """Nearest-rank percentiles, in seconds; None where there was nothing to measure."""

    p50_s: float | None = None
    p95_s: float | None = None
    p99_s: float | None = None
    max_s: float | None = None

    @classmethod
    def of(cls, values: Sequence[float]) -> Percentiles:
        if not values:
            return cls()
        ordered = sorted(values)

        def at(share: float) -> float:
            return round(ordered[max(0, math.ceil(share * len(ordered)) - 1)], _DIGITS)

        return cls(p50_s=at(0.5), p95_s=at(0.95), p99_s=at(0.99), max_s=at(1.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """The requests that began in a part of the time line. `availability` is None where there were none."""

    from_s: float
    until_s: float
    requests: int
    availability: float | None
    p95_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One scenario played with one strategy and one seed.

    `availability` is the share of answered requests among those whose callers stayed. `latency` is
    of answered requests and `ended` of all whose callers stayed, `ttft` of streamed answers.
    `cost_nanos` is what all attempts cost, failed ones too. `shares` are of the answers that were not
    cached, by deployment, and `calls` what reached each deployment.
    """

    scenario: str
    strategy: str
    seed: int
    requests: int
    answered: int
    abandoned: int
    availability: float
    latency: Percentiles
    ended: Percentiles
    ttft: Percentiles
    cost_nanos: int
    attempts_per_request: float
    most_attempts: int
    cache_hits: int
    shares: Mapping[str, float]
    calls: Mapping[str, int]
    errors: Mapping[str, int]
    timeline: tuple[Slice, ...]

    @property
    def cost_usd(self) -> str:
        """US dollars, exact, as a decimal number."""
        return str(Money(self.cost_nanos)).removeprefix("$")

    def to_dict(self) -> dict[str, Any]:
        """Plain data. The same scenario, strategy and seed give the same data."""
        return {**asdict(self), "cost_usd": self.cost_usd}

    def to_json(self) -> str:
        """`to_dict` as JSON, byte for byte the same for the same scenario, strategy and seed."""
        return json.dumps(self.to_dict(), indent=2, sort_keys=True)


def summed_up(
    outcomes: Sequence[Outcome], *, scenario: str, strategy: str, seed: int, cost_nanos: int, calls: Mapping[str, int]
) -> Report:
    """The report on these outcomes."""
    stayed = [outcome for outcome in outcomes if not outcome.abandoned]
    answers = [outcome for outcome in stayed if outcome.ok]
    fresh = Counter(outcome.deployment or "?" for outcome in answers if not outcome.cached)
    return Report(
        scenario=scenario,
        strategy=strategy,
        seed=seed,
        requests=len(outcomes),
        answered=len(answers),
        abandoned=len(outcomes) - len(stayed),
        availability=_share(len(answers), len(stayed)),
        latency=Percentiles.of([outcome.duration_s for outcome in answers]),
        ended=Percentiles.of([outcome.duration_s for outcome in stayed]),
        ttft=Percentiles.of([outcome.ttft_s for outcome in answers if outcome.ttft_s is not None]),
        cost_nanos=cost_nanos,
        attempts_per_request=round(sum(o.attempts for o in outcomes) / len(outcomes), _DIGITS) if outcomes else 0.0,
        most_attempts=max((outcome.attempts for outcome in outcomes), default=0),
        cache_hits=sum(outcome.cached for outcome in answers),
        shares={name: _share(count, fresh.total()) for name, count in sorted(fresh.items())},
        calls=dict(sorted(calls.items())),
        errors=dict(sorted(Counter(outcome.error for outcome in stayed if outcome.error is not None).items())),
        timeline=_timeline(stayed),
    )


def _timeline(outcomes: Sequence[Outcome]) -> tuple[Slice, ...]:
    if not outcomes:
        return ()
    width_s = max(outcome.at for outcome in outcomes) / SLICES or 1.0
    parts: list[list[Outcome]] = [[] for _ in range(SLICES)]
    for outcome in outcomes:
        parts[min(SLICES - 1, int(outcome.at / width_s))].append(outcome)
    return tuple(
        Slice(
            from_s=round(place * width_s, _DIGITS),
            until_s=round((place + 1) * width_s, _DIGITS),
            requests=len(part),
            availability=_share(sum(outcome.ok for outcome in part), len(part)) if part else None,
            p95_s=Percentiles.of([outcome.duration_s for outcome in part if outcome.ok]).p95_s,
        )
        for place, part in enumerate(parts)
    )


def _share(part: int, whole: int) -> float:
    return round(part / whole, _DIGITS) if whole else 1.0
