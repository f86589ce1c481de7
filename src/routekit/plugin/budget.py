"""Budgets: the plugins that keep balances."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from routekit.errors import InvalidInputError
from routekit.plugin.offload import offload
from routekit.plugin.registration import Plugin
from routekit.types import Balance, Charge, Hold, LedgerEntry, Money, Reservation


class Budget(ABC):
    """Keeps balances. All charges of a reservation are taken in one step, or none is.

    Safe in threads, and in processes where the store is shared. `reserve` refuses where
    ``spent + reserved + amount`` would pass the limit of a hard charge. `settle` and `release` are
    idempotent and quick: they run in clean-up code that may not wait.
    """

    @abstractmethod
    def reserve(self, reservation: Reservation) -> None:
        """Takes the hold.

        Raises:
            BudgetExceededError: it does not fit; nothing was taken.
        """

    def mark_sent(self, reservation: Reservation) -> None:
        """Notes that the call is about to leave. From here on a lost holder's amount counts as spent.

        Raises:
            BudgetUnavailableError: it could not be noted, or the hold has run out: nothing may be sent.
        """

    def begin(self, reservation: Reservation) -> None:
        """`reserve` and `mark_sent` in one, for a call that leaves at once; one round trip to a store far away.

        Raises:
            BudgetExceededError: it does not fit; nothing was taken.
            BudgetUnavailableError: nothing may be sent; a hold may have been taken, and is to be released.
        """
        self.reserve(reservation)
        self.mark_sent(reservation)

    @abstractmethod
    def settle(self, reservation: Reservation, actual: Money) -> None:
        """Turns the hold into spending, of the actual amount: less or, if it must be, more."""

    @abstractmethod
    def release(self, reservation: Reservation) -> None:
        """Gives the hold back: nothing was spent."""

    def mark_uncertain(self, reservation: Reservation) -> None:
        """Ends the hold at its whole amount: the call was sent, and nobody knows what it was billed.

        A store that keeps entries notes that this is so, until `Ledger.correct` says what it was. Idempotent
        and quick, as `settle` is.
        """
        self.settle(reservation, reservation.amount)

    @abstractmethod
    def balance(self, charge: Charge) -> Balance:
        """What is spent and held under all of this charge's keys."""

    def glance(self, charge: Charge) -> Balance | None:
        """Like `balance`, for clean-up code on an event loop: None where it would have to wait."""
        return self.balance(charge)

    def renew(self, reservation: Reservation) -> None:
        """The call goes on: the lease of its hold starts anew. Where that fails, the lease decides."""

    def remaining(self, charge: Charge) -> Money:
        """What a new call may still take."""
        return charge.limit.less(self.balance(charge).used)

    async def areserve(self, reservation: Reservation) -> None:
        """Like `reserve`, awaited. Where it is cancelled no hold is left, even one that a thread takes afterwards."""
        lock, taken, left = threading.Lock(), False, False

        def take() -> None:
            nonlocal taken
            self.reserve(reservation)
            with lock:
                taken = True
                unwanted = left
            if unwanted:
                self.release(reservation)

        try:
            await offload(take)
        except BaseException:
            with lock:
                left, unwanted = True, taken
            if unwanted:
                self.release(reservation)
            raise

    async def amark_sent(self, reservation: Reservation) -> None:
        """Like `mark_sent`, awaited."""
        await offload(lambda: self.mark_sent(reservation))

    async def abegin(self, reservation: Reservation) -> None:
        """Like `begin`, awaited."""
        await self.areserve(reservation)
        await self.amark_sent(reservation)

    async def arenew(self, reservation: Reservation) -> None:
        """Like `renew`, awaited."""
        await offload(lambda: self.renew(reservation))

    def close(self) -> None:
        """Frees what is held; open holds stay."""


class Ledger(Budget):
    """A budget store that keeps every entry. Balances are the sum of the entries, and can be recomputed."""

    @abstractmethod
    def entries(self, after: int = 0) -> Iterator[LedgerEntry]:
        """All entries whose `seq` is larger than `after`, oldest first, read in bounded memory."""

    @abstractmethod
    def holds(self) -> list[Hold]:
        """The holds that have not ended. Those whose lease ran out are dealt with first."""

    def balances(self) -> Iterator[tuple[str, str, Balance]]:
        """Key, scope and balance of everything that was ever charged. This one adds the entries up."""
        found: dict[str, tuple[str, int, int]] = {}
        for entry in self.entries():
            _, spent, reserved = found.get(entry.key, ("", 0, 0))
            found[entry.key] = entry.scope, spent + entry.spent, reserved + entry.reserved
        for key, (scope, spent, reserved) in found.items():
            yield key, scope, Balance(spent=Money(spent), reserved=Money(reserved))

    @abstractmethod
    def correct(self, hold_id: str, actual: Money) -> None:
        """Replaces the worst case of an uncertain hold by what its call did cost, once it is known.

        A store that can find what it has settled may correct that, too: a report can be wrong.

        Raises:
            InvalidInputError: there is no such hold, or its call is still under way.
        """

    def archive(self, before: float, write: Callable[[Sequence[LedgerEntry]], None]) -> int:
        """Folds entries older than `before` (seconds since 1970) into their balances; how many there were.

        `write` is given them in pages first, and must have them on the disk when it returns: they are gone afterwards.
        Entries of holds that have not ended stay. Balances are the same as before.

        Raises:
            InvalidInputError: this store keeps all of its entries.
        """
        raise InvalidInputError(f"{type(self).__name__} keeps all of its entries; `routekit ledger export` copies them")

    def adopt(self) -> list[str]:
        """An operator's word that the ledger goes on with what its store has left; what was done, a sentence each.

        Raises:
            InvalidInputError: this store notices no loss that would have to be decided about.
        """
        raise InvalidInputError(f"{type(self).__name__} has lost nothing that it knows of")

    @abstractmethod
    def verify(self) -> list[str]:
        """The keys whose balance is not the sum of their entries, or whose holds do not add up: none, ever."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetPlugin(Plugin[Budget]):
    """Registers a budget store."""

    kind: ClassVar[str] = "budget"
