"""Money and prices: integers of a nano-dollar, from the price table to the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Decimal, InvalidOperation
from functools import total_ordering

from routekit.errors import InvalidInputError
from routekit.types.usage import Usage

NANOS_PER_USD = 1_000_000_000
TOKENS_PER_PRICE = 1_000_000


def nanos_from_usd(value: int | float | str | Decimal, what: str = "amount") -> int:
    """US dollars to nano-dollars, rounded up. A float is read by its shortest decimal form.

    Raises:
        InvalidInputError: not a finite number, or negative.
    """
    try:
        amount = value if isinstance(value, Decimal) else Decimal(str(value))
        if not amount.is_finite() or amount < 0 or isinstance(value, bool):
            raise InvalidOperation
    except InvalidOperation:
        raise InvalidInputError(f"{what} must be a finite number of US dollars, zero or more; got {value!r}") from None
    return int((amount * NANOS_PER_USD).to_integral_value(rounding=ROUND_CEILING))


@total_ordering
class Money:
    """An amount of US dollars, held as an integer of nano-dollars. Never a float, never negative.

    >>> Money.from_usd("0.25") + Money(1)
    Money(250000001)
    >>> str(Money.from_usd(0.0000315))
    '$0.0000315'
    """

    __slots__ = ("nanos",)
    nanos: int

    def __init__(self, nanos: int = 0) -> None:
        if nanos.__class__ is not int or nanos < 0:
            raise InvalidInputError(f"Money takes a whole number of nano-dollars, zero or more; got {nanos!r}")
        object.__setattr__(self, "nanos", nanos)

    @classmethod
    def from_usd(cls, value: int | float | str | Decimal) -> Money:
        """See `nanos_from_usd`."""
        return cls(nanos_from_usd(value))

    @property
    def usd(self) -> Decimal:
        """The amount in US dollars, exact."""
        return Decimal(self.nanos) / NANOS_PER_USD

    def less(self, other: Money) -> Money:
        """The difference, or zero where `other` is the larger one."""
        return Money(max(0, self.nanos - other.nanos))

    def __add__(self, other: Money) -> Money:
        return Money(self.nanos + other.nanos) if isinstance(other, Money) else NotImplemented

    def __eq__(self, other: object) -> bool:
        return self.nanos == other.nanos if isinstance(other, Money) else NotImplemented

    def __lt__(self, other: Money) -> bool:
        return self.nanos < other.nanos if isinstance(other, Money) else NotImplemented

    def __hash__(self) -> int:
        return hash(("Money", self.nanos))

    def __bool__(self) -> bool:
        return self.nanos != 0

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("Money is immutable")

    def __reduce__(self) -> tuple[type[Money], tuple[int]]:
        return (Money, (self.nanos,))

    def __repr__(self) -> str:
        return f"Money({self.nanos})"

    def __str__(self) -> str:
        whole, nanos = divmod(self.nanos, NANOS_PER_USD)
        if not nanos:
            return f"${whole}"
        return f"${whole}.{nanos:09d}".rstrip("0")


ZERO = Money(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What a model charges, in nano-dollars per million tokens; each component is rounded up once.

    A component that is None is charged like its general kind: cached input and cache writes like
    input, reasoning like output. `per_request` is in nano-dollars. `source` says who published it.

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
    source: str = field(default="", compare=False)

    @classmethod
    def from_usd(cls, *, source: str = "", **per_million: int | float | str | Decimal) -> Price:
        """From US dollars per million tokens, as price lists publish them."""
        known: Mapping[str, int] = {key: nanos_from_usd(value, key) for key, value in per_million.items()}
        return cls(source=source, **known)

    def cost_nanos(self, usage: Usage) -> int:
        """The bill for `usage` in nano-dollars."""
        read, write = usage.cache_read_tokens, usage.cache_write_tokens
        total = _component(max(0, usage.input_tokens - read - write), self.input) + self.per_request
        if read:
            total += _component(read, self.input if self.cached_input is None else self.cached_input)
        if write:
            total += _component(write, self.input if self.cache_write is None else self.cache_write)
        thought = usage.reasoning_tokens if self.reasoning is not None else 0
        total += _component(max(0, usage.output_tokens - thought), self.output)
        if thought and self.reasoning is not None:
            total += _component(thought, self.reasoning)
        return total

    def cost(self, usage: Usage) -> Money:
        """The bill for `usage`."""
        return Money(self.cost_nanos(usage))

    def worst_nanos(self, input_tokens: int, output_tokens: int) -> int:
        """The most that so many tokens can cost, whichever bucket they fall into."""
        dearest_in = max(self.input, self.cached_input or 0, self.cache_write or 0)
        dearest_out = max(self.output, self.reasoning or 0)
        if not dearest_in and not dearest_out:
            return self.per_request
        # One component may be split over several buckets, each of them rounded up: at most five.
        return _component(input_tokens, dearest_in) + _component(output_tokens, dearest_out) + self.per_request + 3

    @property
    def is_free(self) -> bool:
        return not (self.input or self.output or self.per_request)


def _component(tokens: int, nanos_per_million: int) -> int:
    return -(-tokens * nanos_per_million // TOKENS_PER_PRICE)
