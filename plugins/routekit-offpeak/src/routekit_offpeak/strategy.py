"""Prefers deployments inside their off-peak price window."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Literal
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator, model_validator

from routekit.plugin import Candidate, Options, RouteDecision, RouteRequest, Signals, Strategy
from routekit.types import Rejection

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Window(Options):
    """When whom costs less. `start` and `end` are local times of `timezone`; a window may pass midnight."""

    deployments: list[str] = Field([], description="Names of deployments.")
    providers: list[str] = Field([], description="Names of providers.")
    models: list[str] = Field([], description="Ids of models.")
    start: dt.time = Field(description='When it begins, such as "16:30".')
    end: dt.time = Field(description="When it ends; the same as `start` means all day.")
    timezone: str = Field("UTC", description='An IANA time zone, such as "Asia/Shanghai".')
    days: list[Day] = Field(list(DAYS), description="The days on which it begins.", min_length=1)
    discount: float = Field(0.5, gt=0, le=1, description="The share of the price that is taken off: 0.5 is half price.")

    @field_validator("timezone")
    @classmethod
    def _known(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError):
            raise ValueError('unknown time zone; use an IANA name such as "Europe/Berlin"') from None
        return value

    @model_validator(mode="after")
    def _for_somebody(self) -> Window:
        if not (self.deployments or self.providers or self.models):
            raise ValueError("a window is for nobody; name `deployments`, `providers` or `models`")
        return self

    def covers(self, candidate: Candidate) -> bool:
        """Whether the window is about this candidate."""
        deployment = candidate.deployment
        return (
            deployment.name in self.deployments
            or deployment.provider in self.providers
            or deployment.model.id in self.models
        )

    def is_open(self, now: float) -> bool:
        """Whether `now`, in seconds since 1970, lies inside. The end is not part of the window."""
        local = dt.datetime.fromtimestamp(now, ZoneInfo(self.timezone))
        time, today = local.time(), DAYS[local.weekday()]
        if self.start < self.end:
            return today in self.days and self.start <= time < self.end
        yesterday = DAYS[local.weekday() - 1]
        return (today in self.days and time >= self.start) or (yesterday in self.days and time < self.end)


class OffPeakOptions(Options):
    windows: list[Window] = Field([], description="When whom costs less. The largest discount that is open counts.")
    min_quality: float = Field(0.0, ge=0, le=1, description="Candidates below it are not asked.")


class OffPeak(Strategy):
    """Least expected cost, with the discounts of the off-peak windows that are open now.

    Where costs are equal, the name decides. Deployments without a known price come last.
    """

    name = "off-peak"
    Options = OffPeakOptions
    options: OffPeakOptions

    def rank(self, request: RouteRequest, candidates: Sequence[Candidate], signals: Signals) -> RouteDecision:
        least = self.options.min_quality
        good = [candidate for candidate in candidates if candidate.quality >= least]
        discounts = {candidate.name: self.discount(candidate, signals.now) for candidate in good}

        def score(candidate: Candidate) -> float:
            cost = candidate.cost_nanos
            if cost is None:
                return float("-inf")
            return -cost * (1 - discounts[candidate.name])

        def reason(first: Candidate) -> str:
            off = discounts[first.name]
            inside = f"it is off-peak, {off:.0%} off" if off else "nobody cheaper is off-peak now"
            return f"the least expected cost of {len(good)}; {inside}"

        decision = self.decide(good, score, reason, signals)
        if len(good) == len(candidates):
            return decision
        below = tuple(
            Rejection(
                deployment=candidate.deployment,
                code="quality",
                reason=f"quality {candidate.quality:g} is below min_quality {least:g}",
            )
            for candidate in sorted(candidates, key=lambda candidate: candidate.name)
            if candidate.quality < least
        )
        return RouteDecision(
            strategy=decision.strategy,
            ranked=decision.ranked,
            reason=decision.reason,
            rejections=below,
            signals=signals,
            path=decision.path,
        )

    def discount(self, candidate: Candidate, now: float) -> float:
        """The largest discount open for a candidate at `now` (seconds since 1970); 0 where there is none."""
        return max(
            (window.discount for window in self.options.windows if window.covers(candidate) and window.is_open(now)),
            default=0.0,
        )
