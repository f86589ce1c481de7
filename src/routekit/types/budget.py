"""Limits on spending, and holds on what is left."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Literal

from routekit.types.money import Money

Window = Literal["hour", "day", "week", "month", "total"]
OnExceeded = Literal["block", "downgrade", "warn"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetScope:
    """One configured budget. `scope` is "global" or "kind:value"; "kind:*" gives each value its own limit.

    `timezone` (an IANA name) decides where the calendar windows begin.
    """

    scope: str
    limit: Money
    window: Window = "total"
    timezone: str = "UTC"
    on_exceeded: OnExceeded = "block"

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
    """

    key: str
    scope: str
    limit: Money
    hard: bool = True
    resets_at: dt.datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """A hold on every charge at once. It ends by `settle` or `release`, once; a second end does nothing.

    `lease_s` is how long the hold may live without an end before its holder counts as lost.
    """

    id: str
    charges: tuple[Charge, ...]
    amount: Money
    deployment: str = ""
    request_id: str = ""
    lease_s: float = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """The state of one charge: `spent` is settled, `reserved` is held by calls under way."""

    spent: Money
    reserved: Money

    @property
    def used(self) -> Money:
        return self.spent + self.reserved
