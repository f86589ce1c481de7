"""The contract of a budget store that keeps every entry, as tests.

Example::

    import pytest
    from routekit.testing.contracts import LedgerContract
    from routekit_mine import MineLedger

    class TestMine(LedgerContract):
        @pytest.fixture
        def ledger(self, tmp_path):
            ledger = MineLedger(tmp_path / "balances")
            yield ledger
            ledger.close()
"""

from __future__ import annotations

import time

import pytest

from routekit.errors import BudgetExceededError, BudgetUnavailableError, InvalidInputError
from routekit.plugin import Budget, Ledger
from routekit.testing.contracts.budget import LEASE_S, BudgetContract, Charged, figures, hold_of
from routekit.types import Hold, Money, Reservation


class LedgerContract(BudgetContract):
    """Subclass it and give the `ledger` fixture; the tests of `BudgetContract` are in it."""

    @pytest.fixture
    def ledger(self) -> Ledger:
        """The ledger under test."""
        raise NotImplementedError(f"{type(self).__name__} needs a fixture `ledger` that returns the ledger")

    @pytest.fixture
    def budget(self, ledger: Ledger) -> Budget:
        return ledger

    def test_a_lost_hold_that_was_never_sent_is_given_back(self, ledger: Ledger, charged: Charged) -> None:
        lost = hold_of(80, charged(), lease_s=0.0)
        ledger.reserve(lost)
        ledger.reserve(hold_of(30, charged()))
        assert figures(ledger, charged()) == (0, 30)
        assert [hold.state for hold in ledger.holds() if hold.id == lost.id] in ([], ["expired"])
        ledger.settle(lost, Money(7))
        assert figures(ledger, charged()) == (7, 30), "it was sent after all, and billed"
        ledger.settle(lost, Money(7))
        assert figures(ledger, charged()) == (7, 30)
        assert ledger.verify() == []

    def test_nothing_is_sent_under_a_hold_that_is_gone(self, ledger: Ledger, charged: Charged) -> None:
        never, ended, lost = hold_of(1, charged()), hold_of(1, charged()), hold_of(1, charged(), lease_s=0.0)
        ledger.reserve(ended)
        ledger.release(ended)
        ledger.reserve(lost)
        for hold in (never, ended, lost):
            with pytest.raises(BudgetUnavailableError):
                ledger.mark_sent(hold)

    def test_a_lost_hold_that_was_sent_is_uncertain_until_it_is_corrected(
        self, ledger: Ledger, charged: Charged
    ) -> None:
        lost, late = hold_of(50, charged(), lease_s=LEASE_S), hold_of(40, charged(), lease_s=LEASE_S)
        for hold in (lost, late):
            ledger.reserve(hold)
            ledger.mark_sent(hold)
        time.sleep(LEASE_S + 0.1)
        assert {found.state for found in (held(ledger, lost), held(ledger, late))} == {"uncertain"}
        assert held(ledger, lost).amount == Money(50)
        assert figures(ledger, charged()) == (90, 0)
        with pytest.raises(BudgetUnavailableError):
            ledger.reserve(lost)
        ledger.correct(lost.id, Money(12))
        ledger.settle(late, Money(3))
        assert figures(ledger, charged()) == (15, 0)
        ledger.settle(lost, Money(50))
        assert figures(ledger, charged()) == (15, 0), "a correction is an end"
        for gone in (lost.id, "never"):
            with pytest.raises(InvalidInputError):
                ledger.correct(gone, Money(1))
        assert ledger.verify() == []

    def test_open_holds_are_listed(self, ledger: Ledger, charged: Charged) -> None:
        wide, narrow = charged("project:p"), charged("user:u")
        hold = Reservation(
            id=hold_of(0).id, charges=(wide, narrow), amount=Money(9), deployment="mini", request_id="r1", lease_s=600
        )
        ledger.reserve(hold)
        found = held(ledger, hold)
        assert (found.state, found.amount, found.deployment, found.request_id) == ("reserved", Money(9), "mini", "r1")
        assert set(found.keys) == {(wide.key, "project:p"), (narrow.key, "user:u")}
        ledger.mark_sent(hold)
        assert held(ledger, hold).state == "sent"
        ledger.settle(hold, Money(9))
        assert hold.id not in {other.id for other in ledger.holds()}

    def test_balances_are_the_sum_of_entries(self, ledger: Ledger, charged: Charged) -> None:
        before = max((entry.seq for entry in ledger.entries()), default=0)
        wide, narrow = charged("project:p", limit=1000), charged("user:u", limit=100)
        for number in range(6):
            hold = hold_of(10, wide, narrow)
            ledger.reserve(hold)
            ledger.mark_sent(hold)
            if number % 3:
                ledger.settle(hold, Money(number))
            elif number:
                ledger.release(hold)
        with pytest.raises(BudgetExceededError):
            ledger.reserve(hold_of(500, wide, narrow))
        entries = [entry for entry in ledger.entries(before) if entry.key in (wide.key, narrow.key)]
        assert [entry.seq for entry in entries] == sorted({entry.seq for entry in entries})
        assert {entry.kind for entry in entries} == {"reserve", "settle", "release"}
        for charge in (wide, narrow):
            mine = [entry for entry in entries if entry.key == charge.key]
            assert {entry.scope for entry in mine} == {charge.scope}
            sums = (sum(entry.spent for entry in mine), sum(entry.reserved for entry in mine))
            assert sums == figures(ledger, charge) == (1 + 2 + 4 + 5, 10)
        assert list(ledger.entries(entries[-1].seq)) == []
        kept = {key: (scope, balance.spent.nanos, balance.reserved.nanos) for key, scope, balance in ledger.balances()}
        assert kept[wide.key] == ("project:p", 12, 10)
        assert kept[narrow.key] == ("user:u", 12, 10)
        assert ledger.verify() == []


def held(ledger: Ledger, reservation: Reservation) -> Hold:
    """The hold of a reservation that has not ended."""
    (found,) = (hold for hold in ledger.holds() if hold.id == reservation.id)
    return found
