"""The tables about money: prices and budgets."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, field_validator

from routekit.engine.budget.charges import rolling_period_s
from routekit.errors import InvalidInputError
from routekit.types import CALENDAR_WINDOWS, WARN_AT, BudgetScope, Money, OffPeak, Price, Tier
from routekit.types.money import nanos_from_usd

SCOPE_KINDS = ("global", "project", "tag", "user", "run", "step", "provider", "deployment", "key")


class Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, value: Any) -> Any:
        """True is 1 in Python, and no amount: none of these tables has a switch in it."""
        if isinstance(value, bool) or (isinstance(value, list) and any(isinstance(part, bool) for part in value)):
            raise ValueError(f"must be a number or a text, not {str(value).lower()}")
        return value


class TierTable(Table):
    """What the whole of a request costs whose input is longer than `above_tokens`; what is left out costs as below."""

    above_tokens: int = Field(ge=1)
    input: float | None = Field(default=None, ge=0)
    output: float | None = Field(default=None, ge=0)
    cached_input: float | None = Field(default=None, ge=0)
    cache_write: float | None = Field(default=None, ge=0)
    cache_write_1h: float | None = Field(default=None, ge=0)

    def to_tier(self) -> Tier:
        known = {key: nanos_from_usd(value) for key, value in self if key != "above_tokens" and value is not None}
        return Tier(above_tokens=self.above_tokens, **known)


class OffPeakTable(Table):
    """A daily window, "HH:MM" to "HH:MM" in `timezone`, in which everything costs `percent` of the price."""

    start: str = Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")
    end: str = Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")
    percent: int = Field(ge=0, le=100)
    timezone: str = "UTC"

    @field_validator("timezone")
    @classmethod
    def _zone(cls, value: str) -> str:
        return _known_zone(value)

    def to_window(self) -> OffPeak:
        start, end = (int(at[:2]) * 60 + int(at[3:]) for at in (self.start, self.end))
        return OffPeak(start_minute=start, end_minute=end, percent=self.percent, timezone=self.timezone)


class PriceTable(Table):
    """US dollars per million tokens; `per_request` in US dollars.

    `tiers` hold for long requests. `batch_percent` is what the service tiers "batch" and "flex" cost of it,
    `off_peak` what some hours do. `as_of` is the day (YYYY-MM-DD) on which it was looked up.
    """

    input: float = Field(ge=0)
    output: float = Field(ge=0)
    cached_input: float | None = Field(default=None, ge=0)
    cache_write: float | None = Field(default=None, ge=0)
    cache_write_1h: float | None = Field(default=None, ge=0)
    reasoning: float | None = Field(default=None, ge=0)
    per_request: float = Field(default=0, ge=0)
    audio_input: float | None = Field(default=None, ge=0)
    audio_output: float | None = Field(default=None, ge=0)
    image_input: float | None = Field(default=None, ge=0)
    tiers: list[TierTable] = []
    batch_percent: int | None = Field(default=None, ge=0, le=100)
    off_peak: list[OffPeakTable] = []
    as_of: dt.date | None = None

    def to_price(self) -> Price:
        whole = {"per_request", "tiers", "batch_percent", "off_peak", "as_of"}
        per_million = {key: value for key, value in self.model_dump(exclude=whole).items() if value is not None}
        price = replace(
            Price.from_usd(source="configuration", **per_million),
            per_request=nanos_from_usd(self.per_request),
            tiers=tuple(tier.to_tier() for tier in self.tiers),
            off_peak=tuple(window.to_window() for window in self.off_peak),
            as_of=self.as_of.isoformat() if self.as_of else "",
        )
        if self.batch_percent is None:
            return price
        cheaper = price.scaled(self.batch_percent)
        return replace(price, services=(("batch", cheaper), ("flex", cheaper)))


class BudgetTable(Table):
    """``[[budgets]]``. One scope may stand in several tables, with a window each.

    `window` is hour, day, week, month or total, or a rolling one such as "rolling:24h". `warn_at` are
    the shares of the limit (0..1) at which a warning is given, once each.
    """

    scope: str
    limit_usd: float = Field(ge=0)
    window: str = "total"
    timezone: str = "UTC"
    on_exceeded: Literal["block", "downgrade", "warn"] = "block"
    warn_at: list[float] = list(WARN_AT)

    @field_validator("scope")
    @classmethod
    def _scope(cls, value: str) -> str:
        kind, _, name = value.partition(":")
        if kind not in SCOPE_KINDS or (kind != "global" and not name) or (kind == "global" and name):
            raise ValueError(
                f'a scope is "global" or "kind:value" with a kind among {", ".join(SCOPE_KINDS[1:])}; '
                '"user:*" gives every user a limit of their own'
            )
        return value

    @field_validator("window")
    @classmethod
    def _window(cls, value: str) -> str:
        if value not in CALENDAR_WINDOWS:
            try:
                rolling_period_s(value)
            except InvalidInputError as error:
                raise ValueError(str(error)) from None
        return value

    @field_validator("warn_at")
    @classmethod
    def _shares(cls, value: list[float]) -> list[float]:
        if not all(0 < share <= 1 for share in value):
            raise ValueError("each of them is a share of the limit, above 0 and at most 1, as in [0.5, 0.8, 1]")
        return sorted(set(value))

    @field_validator("timezone")
    @classmethod
    def _zone(cls, value: str) -> str:
        return _known_zone(value)

    def to_scope(self) -> BudgetScope:
        return BudgetScope(
            scope=self.scope, limit=Money.from_usd(self.limit_usd), window=self.window,
            timezone=self.timezone, on_exceeded=self.on_exceeded, warn_at=tuple(self.warn_at),
        )  # fmt: skip


def _known_zone(value: str) -> str:
    try:
        dt.datetime.now(ZoneInfo(value))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError('unknown time zone; use an IANA name such as "Europe/Berlin"') from None
    return value
