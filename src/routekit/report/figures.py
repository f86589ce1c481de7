"""Records to figures: one pass, in memory that grows with deployments, days and tenants, not with requests."""

from __future__ import annotations

import datetime as dt
import random
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from routekit.types import CallRecord

SAMPLES = 2000
"""Durations kept per deployment, for percentiles: a fair sample of all (Vitter's algorithm R)."""

TENANTS_MOST = 500
"""Rows of a table by tenant; the dearest are shown."""


@dataclass(slots=True)
class Sums:
    """Figures of one group of requests. Money in nano-dollars, savings by kind."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: int = 0
    unpriced: int = 0
    routing: int = 0
    caching: int = 0
    compression: int = 0
    overhead: int = 0
    hits: int = 0
    fallbacks: int = 0
    failures: int = 0

    @property
    def saved(self) -> int:
        return self.routing + self.caching + self.compression - self.overhead

    def add(self, record: CallRecord) -> None:
        self.calls += 1
        self.input_tokens += record.usage.input_tokens
        self.output_tokens += record.usage.output_tokens
        self.cost += record.cost_nanos
        self.unpriced += not record.cost_known
        self.hits += record.cache in ("hit", "semantic-hit")
        self.fallbacks += record.fallbacks > 0
        self.failures += record.outcome != "ok"
        if (savings := record.savings) is not None:
            self.routing += savings.routing_nanos
            self.caching += savings.caching_nanos
            self.compression += savings.compression_nanos
            self.overhead += savings.overhead_nanos


class Sample:
    """A fair sample of many values, and its percentiles."""

    __slots__ = ("_kept", "_rng", "_seen")

    def __init__(self, rng: random.Random) -> None:
        self._kept: list[float] = []
        self._seen = 0
        self._rng = rng

    def add(self, value: float) -> None:
        self._seen += 1
        if len(self._kept) < SAMPLES:
            self._kept.append(value)
        elif (place := self._rng.randrange(self._seen)) < SAMPLES:
            self._kept[place] = value

    def percentile(self, share: float) -> float | None:
        if not self._kept:
            return None
        return sorted(self._kept)[min(len(self._kept) - 1, int(share * len(self._kept)))]


@dataclass(slots=True)
class Figures:
    """All that the page draws. `attempts` counts outcomes per deployment; `decisions` are the newest records.

    `left_out` requests have no record.
    """

    total: Sums = field(default_factory=Sums)
    since: float | None = None
    until: float | None = None
    by: dict[str, dict[str, Sums]] = field(default_factory=dict)
    days: dict[str, dict[str, int]] = field(default_factory=dict)
    saved_days: dict[str, dict[str, int]] = field(default_factory=dict)
    total_s: dict[str, Sample] = field(default_factory=dict)
    ttft_s: dict[str, Sample] = field(default_factory=dict)
    attempts: dict[str, dict[str, int]] = field(default_factory=dict)
    decisions: list[CallRecord] = field(default_factory=list)
    left_out: int = 0


GROUPS = ("deployment", "strategy", "project", "user", "tag", "outcome")


def figures_of(records: Iterable[CallRecord], decisions: int = 1000) -> Figures:
    """Adds up records in the order in which they ended; keeps the newest so many as they are."""
    rng = random.Random(0)
    found = Figures(by={group: defaultdict(Sums) for group in GROUPS})
    days: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    saved: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    outcomes: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for record in records:
        found.since = record.at if found.since is None else min(found.since, record.at)
        found.until = record.at if found.until is None else max(found.until, record.at)
        found.total.add(record)
        name = record.deployment or "(nobody)"
        by = found.by
        by["deployment"][name].add(record)
        by["strategy"][record.strategy].add(record)
        by["outcome"][record.outcome].add(record)
        for kind in ("project", "user", "tag"):
            for value in record.scopes.get(kind, ()):
                by[kind][value].add(record)
        day = dt.datetime.fromtimestamp(record.at, dt.UTC).strftime("%Y-%m-%d")
        days[day][name] += record.cost_nanos
        if record.savings is not None:
            for kind in ("routing", "caching", "compression"):
                saved[day][kind] += getattr(record.savings, f"{kind}_nanos")
            saved[day]["overhead"] -= record.savings.overhead_nanos
        if record.outcome == "ok" and record.cache not in ("hit", "semantic-hit"):
            if name not in found.total_s:
                found.total_s[name], found.ttft_s[name] = Sample(rng), Sample(rng)
            found.total_s[name].add(record.duration_s)
            if record.ttft_s is not None:
                found.ttft_s[name].add(record.ttft_s)
        for attempt in record.attempts:
            outcomes[str(attempt.get("deployment"))][str(attempt.get("outcome"))] += 1
        found.decisions.append(record)
        if len(found.decisions) >= 2 * decisions + 1000:
            del found.decisions[: len(found.decisions) - decisions]
    found.decisions = found.decisions[::-1][:decisions]
    found.days, found.saved_days = _filled(days), _filled(saved)
    found.attempts = {name: dict(counts) for name, counts in outcomes.items()}
    found.by = {group: _dearest(sums) for group, sums in found.by.items()}
    return found


def _filled(days: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
    """Every day from the first to the last, those without requests too; at most a year back."""
    if not days:
        return {}
    first, last = dt.date.fromisoformat(min(days)), dt.date.fromisoformat(max(days))
    first = max(first, last - dt.timedelta(days=366))
    span = ((first + dt.timedelta(days=number)).isoformat() for number in range((last - first).days + 1))
    return {day: dict(days.get(day, {})) for day in span}


def _dearest(sums: dict[str, Sums]) -> dict[str, Sums]:
    ordered = sorted(sums.items(), key=lambda pair: (-pair[1].cost, -pair[1].calls, pair[0]))
    return dict(ordered[:TENANTS_MOST])
