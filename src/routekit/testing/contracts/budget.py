"""The contract of a budget store, as tests.

Example::

    import pytest
    from routekit.testing.contracts import BudgetContract
    from routekit_mine import MineBudget

    class TestMine(BudgetContract):
        @pytest.fixture
        def budget(self, tmp_path):
            budget = MineBudget(tmp_path / "balances")
            yield budget
            budget.close()
"""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from routekit.errors import BudgetExceededError
from routekit.plugin import Budget
from routekit.testing.contracts.suite import ContractSuite
from routekit.types import Charge, Money, Reservation

LEASE_S = 1.0
"""Long enough for a slow machine to mark a hold as sent, short enough to be waited for."""

Charged = Callable[..., Charge]
"""``charged("user:u", limit=100, hard=True)``: a charge under a key that no other test uses."""


class BudgetContract(ContractSuite):
    """Subclass it and give the `budget` fixture. A store that outlives the test is fine."""

    @pytest.fixture
    def budget(self) -> Budget:
        """The budget store under test."""
        raise NotImplementedError(f"{type(self).__name__} needs a fixture `budget` that returns the budget store")

    @pytest.fixture
    def charged(self) -> Charged:
        run = uuid.uuid4()

        def charged(scope: str = "global", limit: int = 100, hard: bool = True) -> Charge:
            resets_at = dt.datetime(2100, 1, 1, tzinfo=dt.UTC)
            return Charge(key=f"{scope}|{run}", scope=scope, limit=Money(limit), hard=hard, resets_at=resets_at)

        return charged

    def test_nothing_is_spent_at_first(self, budget: Budget, charged: Charged) -> None:
        assert isinstance(budget, Budget)
        assert figures(budget, charged()) == (0, 0)
        assert budget.remaining(charged()) == Money(100)

    def test_a_hold_is_counted_until_it_is_settled(self, budget: Budget, charged: Charged) -> None:
        hold = hold_of(60, charged())
        budget.reserve(hold)
        assert figures(budget, charged()) == (0, 60)
        assert budget.remaining(charged()) == Money(40)
        budget.settle(hold, Money(25))
        assert figures(budget, charged()) == (25, 0)
        assert budget.remaining(charged()) == Money(75)

    def test_a_released_hold_costs_nothing(self, budget: Budget, charged: Charged) -> None:
        hold = hold_of(60, charged())
        budget.reserve(hold)
        budget.release(hold)
        assert figures(budget, charged()) == (0, 0)

    def test_the_limit_may_be_reached_and_not_passed(self, budget: Budget, charged: Charged) -> None:
        budget.reserve(hold_of(60, charged()))
        budget.reserve(hold_of(40, charged()))
        with pytest.raises(BudgetExceededError):
            budget.reserve(hold_of(1, charged()))
        assert figures(budget, charged()) == (0, 100)
        budget.reserve(hold_of(0, charged()))

    def test_a_refusal_says_what_would_be_passed(self, budget: Budget, charged: Charged) -> None:
        first = hold_of(30, charged("user:u"))
        budget.reserve(first)
        budget.settle(first, Money(20))
        budget.reserve(hold_of(50, charged("user:u")))
        with pytest.raises(BudgetExceededError) as refused:
            budget.reserve(hold_of(31, charged("user:u")))
        error = refused.value
        assert (error.scope, error.limit, error.asked) == ("user:u", Money(100), Money(31))
        assert (error.spent, error.reserved) == (Money(20), Money(50))
        assert error.resets_at == charged().resets_at

    def test_all_charges_are_taken_or_none(self, budget: Budget, charged: Charged) -> None:
        wide, narrow = charged("project:p", limit=1000), charged("user:u", limit=10)
        for charges in ((wide, narrow), (narrow, wide)):
            with pytest.raises(BudgetExceededError):
                budget.reserve(hold_of(50, *charges))
        assert figures(budget, wide) == figures(budget, narrow) == (0, 0)
        budget.reserve(hold_of(10, wide, narrow))
        assert figures(budget, wide) == figures(budget, narrow) == (0, 10)

    def test_a_soft_charge_is_counted_and_never_refused(self, budget: Budget, charged: Charged) -> None:
        soft = charged(limit=10, hard=False)
        hold = hold_of(500, soft)
        budget.reserve(hold)
        assert figures(budget, soft) == (0, 500)
        budget.settle(hold, Money(400))
        assert figures(budget, soft) == (400, 0)
        assert budget.remaining(soft) == Money(0)

    def test_two_charges_under_one_key_draw_on_it_once(self, budget: Budget, charged: Charged) -> None:
        hold = hold_of(60, charged(limit=100), charged(limit=50, hard=False))
        budget.reserve(hold)
        assert figures(budget, charged()) == (0, 60)
        budget.settle(hold, Money(60))
        assert figures(budget, charged()) == (60, 0)

    def test_more_than_the_hold_is_recorded_as_it_was(self, budget: Budget, charged: Charged) -> None:
        hold = hold_of(90, charged())
        budget.reserve(hold)
        budget.settle(hold, Money(250))
        assert figures(budget, charged()) == (250, 0)
        with pytest.raises(BudgetExceededError):
            budget.reserve(hold_of(1, charged()))

    def test_a_hold_ends_once(self, budget: Budget, charged: Charged) -> None:
        settled, released = hold_of(30, charged()), hold_of(30, charged())
        budget.reserve(settled)
        budget.reserve(released)
        for _ in range(2):
            budget.settle(settled, Money(20))
            budget.release(settled)
            budget.release(released)
            budget.settle(released, Money(20))
        assert figures(budget, charged()) == (20, 0)

    def test_the_end_of_an_unknown_hold_does_nothing(self, budget: Budget, charged: Charged) -> None:
        budget.settle(hold_of(10, charged()), Money(10))
        budget.release(hold_of(10, charged()))
        refused = hold_of(500, charged())
        with pytest.raises(BudgetExceededError):
            budget.reserve(refused)
        budget.settle(refused, Money(10))
        assert figures(budget, charged()) == (0, 0)

    def test_keys_are_apart(self, budget: Budget, charged: Charged) -> None:
        budget.reserve(hold_of(60, charged("user:a")))
        budget.reserve(hold_of(70, charged("user:b")))
        assert figures(budget, charged("user:a")) == (0, 60)
        assert figures(budget, charged("user:b")) == (0, 70)

    def test_a_lost_hold_still_counts(self, budget: Budget, charged: Charged) -> None:
        lost = hold_of(80, charged(), lease_s=LEASE_S)
        budget.reserve(lost)
        budget.mark_sent(lost)
        time.sleep(LEASE_S + 0.1)
        with pytest.raises(BudgetExceededError):
            budget.reserve(hold_of(30, charged()))
        assert budget.balance(charged()).used == Money(80), "its call may have been billed"
        budget.settle(lost, Money(5))
        assert figures(budget, charged()) == (5, 0)

    def test_a_hold_that_was_sent_ends_like_any_other(self, budget: Budget, charged: Charged) -> None:
        settled, released = hold_of(30, charged()), hold_of(30, charged())
        for hold in (settled, released):
            budget.reserve(hold)
            budget.mark_sent(hold)
            budget.mark_sent(hold)
        assert figures(budget, charged()) == (0, 60)
        budget.settle(settled, Money(20))
        budget.release(released)
        assert figures(budget, charged()) == (20, 0)

    def test_earlier_parts_of_a_rolling_window_count(self, budget: Budget, charged: Charged) -> None:
        first, second = charged("user:first"), charged("user:second")
        spent = hold_of(50, first)
        budget.reserve(spent)
        budget.settle(spent, Money(40))
        budget.reserve(hold_of(20, second))
        rolling = dataclasses.replace(charged("user:third"), prior=(first.key, second.key, "user:never|x"))
        assert figures(budget, rolling) == (40, 20)
        assert budget.remaining(rolling) == Money(40)
        with pytest.raises(BudgetExceededError) as refused:
            budget.reserve(hold_of(41, rolling))
        assert (refused.value.spent, refused.value.reserved) == (Money(40), Money(20))
        budget.reserve(hold_of(40, rolling))
        assert figures(budget, charged("user:third")) == (0, 40), "it is charged to its own part alone"
        assert figures(budget, first) == (40, 0)

    def test_large_amounts_are_exact(self, budget: Budget, charged: Charged) -> None:
        amount = 2**53 + 1  # the first whole number that a float cannot hold: nine million dollars
        hold = hold_of(amount, charged(limit=2**60))
        budget.reserve(hold)
        assert figures(budget, charged()) == (0, amount)
        budget.settle(hold, Money(amount))
        assert figures(budget, charged()) == (amount, 0)

    def test_the_asynchronous_method_does_the_same(self, budget: Budget, charged: Charged) -> None:
        async def both() -> None:
            hold = hold_of(60, charged())
            await budget.areserve(hold)
            await budget.amark_sent(hold)
            with pytest.raises(BudgetExceededError):
                await budget.areserve(hold_of(60, charged()))

        asyncio.run(both())
        assert figures(budget, charged()) == (0, 60)

    def test_threads_never_pass_the_limit(self, budget: Budget, charged: Charged) -> None:
        def work(number: int) -> int:
            hold = hold_of(3, charged())
            try:
                budget.reserve(hold)
            except BudgetExceededError:
                return 0
            if number % 4 == 0:
                budget.release(hold)
                return 0
            budget.settle(hold, Money(2))
            return 2

        with ThreadPoolExecutor(4) as pool:
            settled = sum(pool.map(work, range(120)))
        assert figures(budget, charged()) == (settled, 0)
        assert settled <= 100


def hold_of(amount: int, *charges: Charge, lease_s: float = 600.0) -> Reservation:
    """A reservation with an id of its own."""
    return Reservation(id=str(uuid.uuid4()), charges=charges, amount=Money(amount), lease_s=lease_s)


def figures(budget: Budget, charge: Charge) -> tuple[int, int]:
    """Spent and reserved, in nano-dollars."""
    balance = budget.balance(charge)
    return balance.spent.nanos, balance.reserved.nanos
