"""Prices: what a model charges, as integers of nano-dollars per million tokens."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from routekit.errors import InvalidInputError
from routekit.types.money import Money, nanos_from_usd
from routekit.types.usage import Usage

TOKENS_PER_PRICE = 1_000_000
_TIERED = ("input", "output", "cached_input", "cache_write", "reasoning", "cache_write_1h")
WORST_SLACK = 9
"""Each of at most nine buckets of a bill is rounded up by less than one nano-dollar; see `Price.worst_nanos`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """What is charged for the whole of a request whose input is longer than `above_tokens`. None: as below."""

    above_tokens: int
    input: int | None = None
    output: int | None = None
    cached_input: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None
    cache_write_1h: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OffPeak:
    """A daily window in which everything costs `percent` of the price. Times are minutes of the day in `timezone`.

    It may span midnight. A discount only: what a call may cost at most, and what is expected, ignore it.
    """

    start_minute: int
    end_minute: int
    percent: int
    timezone: str = "UTC"

    def __post_init__(self) -> None:
        if not (0 <= self.start_minute < 1440 and 0 <= self.end_minute <= 1440 and 0 <= self.percent <= 100):
            raise InvalidInputError(f"off_peak: times lie within a day and percent between 0 and 100; got {self}")

    def holds(self, at: float) -> bool:
        """Whether the instant (seconds since 1970) lies in it; the end does not."""
        local = dt.datetime.fromtimestamp(at, ZoneInfo(self.timezone))
        minute = local.hour * 60 + local.minute
        if self.start_minute <= self.end_minute:
            return self.start_minute <= minute < self.end_minute
        return minute >= self.start_minute or minute < self.end_minute


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What a model charges, in nano-dollars per million tokens; each component is rounded up once.

    A component that is None is charged like its general kind: cached input, cache writes, audio and images
    like input; reasoning and audio like output; cache writes for an hour (`cache_write_1h`) twice as much as input
    where writes have a price above it, as Anthropic charges. `per_request` is in nano-dollars. `tiers` hold for long
    requests, `services` for the named service tiers of a provider ("batch", "flex", "priority"),
    `off_peak` at some hours. `source` says who published it, `as_of` (YYYY-MM-DD) when it was so.

    >>> price = Price.from_usd(input=0.25, cached_input=0.025, output=2)
    >>> price.cost(Usage(input_tokens=1000, cache_read_tokens=900, output_tokens=10)).nanos
    67500
    """

    input: int
    output: int
    cached_input: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None
    per_request: int = 0
    audio_input: int | None = None
    audio_output: int | None = None
    image_input: int | None = None
    cache_write_1h: int | None = None
    tiers: tuple[Tier, ...] = ()
    services: tuple[tuple[str, Price], ...] = ()
    off_peak: tuple[OffPeak, ...] = ()
    source: str = field(default="", compare=False)
    as_of: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        if list(self.tiers) != sorted(self.tiers, key=lambda tier: tier.above_tokens):
            object.__setattr__(self, "tiers", tuple(sorted(self.tiers, key=lambda tier: tier.above_tokens)))

    @classmethod
    def from_usd(cls, *, source: str = "", **per_million: int | float | str | Decimal) -> Price:
        """From US dollars per million tokens, as price lists publish them."""
        known: Mapping[str, int] = {key: nanos_from_usd(value, key) for key, value in per_million.items()}
        return cls(source=source, **known)  # type: ignore[arg-type]  # the components are integers

    def cost_nanos(self, usage: Usage, *, at: float | None = None, service: str | None = None) -> int:
        """The bill for `usage` in nano-dollars, at an instant (seconds since 1970) and in a service tier."""
        price = self.for_request(usage.input_tokens, service) if self.tiers or self.services else self
        if not price.off_peak or at is None:
            return price._cost(usage)
        percent = min((window.percent for window in price.off_peak if window.holds(at)), default=100)
        return price._cost(usage, percent)

    def cost(self, usage: Usage, *, at: float | None = None, service: str | None = None) -> Money:
        """The bill for `usage`."""
        return Money(self.cost_nanos(usage, at=at, service=service))

    def for_request(self, input_tokens: int, service: str | None = None) -> Price:
        """What holds for a request of so much input in a service tier; one that nobody priced costs the usual."""
        price = self
        if service is not None:
            price = next((other for name, other in self.services if name == service), self)
        tier = next((tier for tier in reversed(price.tiers) if input_tokens > tier.above_tokens), None)
        return price if tier is None else price._in(tier)

    def worst_nanos(self, input_tokens: int, output_tokens: int, service: str | None = None) -> int:
        """The most that so many tokens can cost, whichever bucket and tier they fall into.

        Whoever asks for a service tier may be served by the usual one instead, and under "auto" by any.
        """
        if not self.tiers and (service is None or not self.services):
            return self._worst(input_tokens, output_tokens)
        usual = (replace(self, services=()),)
        named = () if service is None else tuple(p for name, p in self.services if name == service or service == "auto")
        worst = 0
        for base in (*usual, *named):
            worst = max(worst, base._worst(input_tokens, output_tokens))
            for tier in base.tiers:
                # Of a tier, only the prices matter: with all input in it, it is an upper bound for whoever is in it.
                if input_tokens > tier.above_tokens:
                    worst = max(worst, base._in(tier)._worst(input_tokens, output_tokens))
        return worst

    def scaled(self, percent: int) -> Price:
        """The same prices at so many per cent, each rounded up."""

        def part(value: int | None) -> int | None:
            return None if value is None else -(-value * percent // 100)

        prices = _TIERED
        media = ("per_request", "audio_input", "audio_output", "image_input")
        tiers = tuple(
            Tier(above_tokens=tier.above_tokens, **{name: part(getattr(tier, name)) for name in prices})
            for tier in self.tiers
        )
        changes: dict[str, Any] = {name: part(getattr(self, name)) for name in (*prices, *media)}
        return replace(self, tiers=tiers, services=(), **changes)

    @property
    def _hour_write(self) -> int:
        """What a token costs that is written into a cache for an hour; never less than one written for minutes."""
        if self.cache_write_1h is not None:
            return max(self.cache_write_1h, self.cache_write or 0)
        write = self.input if self.cache_write is None else self.cache_write
        return max(write, 2 * self.input) if write > self.input else write

    @property
    def is_free(self) -> bool:
        return not (self.input or self.output or self.per_request)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, without what is not set; nano-dollars per million tokens."""
        apart = ("tiers", "services", "off_peak")
        plain = {name: value for name, value in _set(self).items() if name not in apart and value != ""}
        if self.tiers:
            plain["tiers"] = [_set(tier) for tier in self.tiers]
        if self.services:
            plain["services"] = {name: price.to_dict() for name, price in self.services}
        if self.off_peak:
            plain["off_peak"] = [_set(window) for window in self.off_peak]
        return plain

    def _in(self, tier: Tier) -> Price:
        changes = {name: value for name in _TIERED if (value := getattr(tier, name)) is not None}
        return replace(self, tiers=(), services=(), **changes)

    def _cost(self, usage: Usage, percent: int = 100) -> int:
        read, write = usage.cache_read_tokens, usage.cache_write_tokens
        plain = usage.input_tokens - read - write
        total = self.per_request if percent == 100 else -(-self.per_request * percent // 100)
        if self.audio_input is not None and usage.audio_input_tokens:
            heard = min(usage.audio_input_tokens, max(0, plain))
            plain -= heard
            total += _component(heard, self.audio_input, percent)
        if self.image_input is not None and usage.image_input_tokens:
            seen = min(usage.image_input_tokens, max(0, plain))
            plain -= seen
            total += _component(seen, self.image_input, percent)
        total += _component(max(0, plain), self.input, percent)
        if read:
            total += _component(read, self.input if self.cached_input is None else self.cached_input, percent)
        if write:
            each, hourly = self.input if self.cache_write is None else self.cache_write, self._hour_write
            if usage.cache_write_1h_tokens and hourly != each:
                hour = min(write, usage.cache_write_1h_tokens)
                write -= hour
                total += _component(hour, hourly, percent)
            total += _component(write, each, percent)
        said = usage.output_tokens
        if self.reasoning is not None and usage.reasoning_tokens:
            said -= usage.reasoning_tokens
            total += _component(usage.reasoning_tokens, self.reasoning, percent)
        if self.audio_output is not None and usage.audio_output_tokens:
            spoken = min(usage.audio_output_tokens, max(0, said))
            said -= spoken
            total += _component(spoken, self.audio_output, percent)
        return total + _component(max(0, said), self.output, percent)

    def _worst(self, input_tokens: int, output_tokens: int) -> int:
        dearest_in = max(
            self.input, self.cached_input or 0, self._hour_write, self.audio_input or 0, self.image_input or 0
        )
        dearest_out = max(self.output, self.reasoning or 0, self.audio_output or 0)
        if not dearest_in and not dearest_out:
            return self.per_request
        # Six buckets of input and three of output, each rounded up once: two of them are counted below.
        slack = 3 if self.audio_input is self.audio_output is self.image_input is None else WORST_SLACK - 3
        slack += self._hour_write != (self.input if self.cache_write is None else self.cache_write)
        return _component(input_tokens, dearest_in) + _component(output_tokens, dearest_out) + self.per_request + slack


def _set(value: Any) -> dict[str, Any]:
    """The fields of a dataclass that are not None."""
    return {each.name: found for each in fields(value) if (found := getattr(value, each.name)) is not None}


def _component(tokens: int, nanos_per_million: int, percent: int = 100) -> int:
    if percent == 100:
        return -(-tokens * nanos_per_million // TOKENS_PER_PRICE)
    return -(-tokens * nanos_per_million * percent // (TOKENS_PER_PRICE * 100))
