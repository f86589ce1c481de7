"""Limits on spending, and holds on what is left."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Literal

from routekit.types.money import Money

Window = str
"""hour, day, week, month, total, or "rolling:24h": a number and s, m, h or d."""

CALENDAR_WINDOWS = ("hour", "day", "week", "month", "total")
WARN_AT = (0.5, 0.8, 0.9, 1.0)
OnExceeded = Literal["block", "downgrade", "warn"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetScope:
    """One configured budget. `scope` is "global" or "kind:value"; "kind:*" gives each value its own limit.

    `timezone` (an IANA name) decides where the calendar windows begin. At each share in `warn_at`
    (0..1 of the limit that is spent) a warning is given once.
    """

    scope: str
    limit: Money
    window: Window = "total"
    timezone: str = "UTC"
    on_exceeded: OnExceeded = "block"
    warn_at: tuple[float, ...] = WARN_AT

    @property
    def kind(self) -> str:
        return self.scope.partition(":")[0]

    @property
    def value(self) -> str:
        return self.scope.partition(":")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """One balance that a call draws on. `key` names scope and window ("project:search|day|2026-11-23").

    A new window is a new key, so nothing is ever reset. `hard` means that the limit is enforced.
    `prior` are the keys of earlier parts of a rolling window: what was spent and is held there counts
    against the limit too; the call itself is charged to `key` alone.
    """

    key: str
    scope: str
    limit: Money
    hard: bool = True
    resets_at: dt.datetime | None = None
    prior: tuple[str, ...] = ()
    warn_at: tuple[float, ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        """All keys whose balances count against the limit."""
        return (self.key, *self.prior)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """A hold on every charge at once. It ends by `settle` or `release`, once; a second end does nothing.

    `lease_s` is how long the hold may live without an end before its holder counts as lost: one that
    was never marked sent is given back then, one that was sent becomes uncertain at its whole amount.
    `wait_s` is how long its call can wait for a store that others keep busy; None: as the store is configured.
    """

    id: str
    charges: tuple[Charge, ...]
    amount: Money
    deployment: str = ""
    request_id: str = ""
    lease_s: float = 600.0
    wait_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """The state of one charge: `spent` is settled, `reserved` is held by calls under way."""

    spent: Money
    reserved: Money

    @property
    def used(self) -> Money:
        return self.spent + self.reserved


EntryKind = Literal["reserve", "settle", "release", "expire", "uncertain", "correct"]
HoldState = Literal["reserved", "sent", "uncertain", "expired", "damaged"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """One line of the ledger. `spent` and `reserved` are what it adds to the balance `key`, in nano-dollars.

    Both may be negative; a balance is the sum of its entries. `at` is in seconds since 1970, `seq`
    """

    seq: int
    at: float
    kind: EntryKind
    hold: str
    key: str
    scope: str
    spent: int
    reserved: int
    deployment: str
    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A hold that has not ended. `keys` are pairs of key and scope; `expires_at` is in seconds since 1970.

    reserved: nothing was sent yet. sent: a call is under way. uncertain: its holder is lost, and its
    whole amount counts as spent until somebody corrects it. expired: lost before it was sent, given back.
    damaged: what the store has of it cannot be read; it is put aside, and its amount stays held.
    """

    id: str
    state: HoldState
    amount: Money
    keys: tuple[tuple[str, str], ...]
    expires_at: float
    deployment: str
    request_id: str
