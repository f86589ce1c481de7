"""Money: integers of a nano-dollar, from the price table to the ledger."""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal, InvalidOperation
from functools import total_ordering

from routekit.errors import InvalidInputError

NANOS_PER_USD = 1_000_000_000


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
