"""Balances in this process: one lock, whole nano-dollars."""

from __future__ import annotations

import datetime as dt
import heapq
from dataclasses import dataclass
from threading import RLock

from routekit.errors import BudgetExceededError, BudgetUnavailableError
from routekit.plugin import Budget, BudgetPlugin, NoOptions, PluginContext
from routekit.types import Balance, Charge, Clock, HoldState, Money, Reservation, SystemClock


@dataclass(slots=True)
class _Account:
    spent: int = 0
    reserved: int = 0
    resets_at: dt.datetime | None = None


@dataclass(slots=True)
class _Hold:
    keys: tuple[str, ...]
    amount: int
    expires_at: float
    state: HoldState = "reserved"


_SWEEP_EVERY = 4096
"""Reservations between two sweeps of accounts whose window is over."""


class MemoryBudget(Budget):
    """Forgets everything with the process. The ledger keeps the same promises on disk.

    A hold that outlives its lease ends at the next `reserve`: given back where it was never sent, else
    counted as spent at its worst case; an end that comes later all the same corrects that. A call that
    costs nothing is never refused.
    """

    def __init__(self, *, clock: Clock | None = None) -> None:
        self._time = (clock or SystemClock()).time
        self._lock = RLock()  # re-entrant: a forgotten stream is settled by the garbage collector
        self._accounts: dict[str, _Account] = {}
        self._holds: dict[str, _Hold] = {}
        self._leases: list[tuple[float, str]] = []
        self._reserved = 0

    def reserve(self, reservation: Reservation) -> None:
        amount, now = reservation.amount.nanos, self._time()
        with self._lock:
            if self._leases and self._leases[0][0] <= now:
                self._expire(now)
            known = self._holds.get(reservation.id)
            if known is not None:
                if known.state in ("reserved", "sent"):
                    return
                raise BudgetUnavailableError(
                    f"the hold {reservation.id} is {known.state}; take another one under a new id"
                )
            for charge in reservation.charges:
                if charge.key not in self._accounts:
                    self._accounts[charge.key] = _Account(resets_at=charge.resets_at)
                if not (charge.hard and amount):
                    continue
                spent, reserved = self._used(charge)
                if spent + reserved + amount > charge.limit.nanos:
                    raise BudgetExceededError(
                        scope=charge.scope,
                        limit=charge.limit,
                        spent=Money(spent),
                        reserved=Money(reserved),
                        asked=reservation.amount,
                        resets_at=charge.resets_at,
                    )
            # Two budgets on one scope and window share a key: its balance is drawn on once.
            keys = tuple(dict.fromkeys(charge.key for charge in reservation.charges))
            for key in keys:
                self._accounts[key].reserved += amount
            expires_at = now + reservation.lease_s
            self._holds[reservation.id] = _Hold(keys, amount, expires_at)
            heapq.heappush(self._leases, (expires_at, reservation.id))
            self._reserved += 1
            if self._reserved % _SWEEP_EVERY == 0:
                self._sweep(now)

    def mark_sent(self, reservation: Reservation) -> None:
        with self._lock:
            hold = self._holds.get(reservation.id)
            if hold is None or hold.state not in ("reserved", "sent") or hold.expires_at <= self._time():
                raise BudgetUnavailableError(
                    f"the hold {reservation.id} ran out before its call was sent "
                    f"(its lease is {reservation.lease_s:g} s)"
                )
            hold.state = "sent"

    def settle(self, reservation: Reservation, actual: Money) -> None:
        self._end(reservation.id, actual.nanos)

    def release(self, reservation: Reservation) -> None:
        self._end(reservation.id, 0)

    def renew(self, reservation: Reservation) -> None:
        with self._lock:
            hold = self._holds.get(reservation.id)
            if hold is not None and hold.state in ("reserved", "sent"):
                hold.expires_at = self._time() + reservation.lease_s
                heapq.heappush(self._leases, (hold.expires_at, reservation.id))

    def balance(self, charge: Charge) -> Balance:
        with self._lock:
            spent, reserved = self._used(charge)
        return Balance(spent=Money(spent), reserved=Money(reserved))

    async def areserve(self, reservation: Reservation) -> None:
        self.reserve(reservation)

    async def amark_sent(self, reservation: Reservation) -> None:
        self.mark_sent(reservation)

    async def arenew(self, reservation: Reservation) -> None:
        self.renew(reservation)

    def _used(self, charge: Charge) -> tuple[int, int]:
        found = [account for key in charge.keys if (account := self._accounts.get(key)) is not None]
        return sum(account.spent for account in found), sum(account.reserved for account in found)

    def _end(self, hold_id: str, actual: int) -> None:
        with self._lock:
            hold = self._holds.pop(hold_id, None)
            if hold is None:
                return
            for key in hold.keys:
                account = self._accounts.get(key)
                if account is None:
                    continue  # its window is over and was swept
                if hold.state == "uncertain":
                    account.spent -= hold.amount
                elif hold.state != "expired":
                    account.reserved -= hold.amount
                account.spent += actual
            # Leases of ended holds leave the heap when they come to its top, or here when most are such.
            if len(self._leases) > 64 and len(self._leases) > 4 * len(self._holds):
                self._leases = [(h.expires_at, i) for i, h in self._holds.items() if h.state in ("reserved", "sent")]
                heapq.heapify(self._leases)

    def _expire(self, now: float) -> None:
        while self._leases and self._leases[0][0] <= now:
            expires_at, hold_id = heapq.heappop(self._leases)
            hold = self._holds.get(hold_id)
            if hold is None or hold.state not in ("reserved", "sent") or hold.expires_at != expires_at:
                continue
            sent = hold.state == "sent"
            hold.state = "uncertain" if sent else "expired"
            for key in hold.keys:
                account = self._accounts[key]
                account.reserved -= hold.amount
                account.spent += hold.amount if sent else 0

    def _sweep(self, now: float) -> None:
        """Forgets windows that ended over an hour ago, so that "user:*" per hour does not grow for ever."""
        over = [
            key
            for key, account in self._accounts.items()
            if account.resets_at is not None and not account.reserved and account.resets_at.timestamp() < now - 3600
        ]
        for key in over:
            del self._accounts[key]
        lost = [
            hold_id
            for hold_id, hold in self._holds.items()
            if hold.state in ("uncertain", "expired") and not any(key in self._accounts for key in hold.keys)
        ]
        for hold_id in lost:
            del self._holds[hold_id]


def _make(options: NoOptions, context: PluginContext) -> MemoryBudget:
    return MemoryBudget(clock=context.clock)


PLUGIN = BudgetPlugin(name="memory", factory=_make, summary="Balances in this process; gone when it ends.")
