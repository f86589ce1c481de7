from __future__ import annotations

import datetime as dt
import threading

import pytest
from tests.support.clock import Now

from routekit.builtin.budgets import memory
from routekit.builtin.budgets.memory import MemoryBudget
from routekit.errors import BudgetExceededError, BudgetUnavailableError
from routekit.types import Charge, Money, Reservation


def charge(key: str = "global|total", limit: int = 100, **changes: object) -> Charge:
    return Charge(key=key, scope=key.partition("|")[0], limit=Money(limit), **changes)  # type: ignore[arg-type]


def hold(name: str, amount: int, *charges: Charge, lease_s: float = 600.0) -> Reservation:
    return Reservation(id=name, charges=charges or (charge(),), amount=Money(amount), lease_s=lease_s)


def used(budget: MemoryBudget, key: str = "global|total") -> tuple[int, int]:
    balance = budget.balance(charge(key))
    return balance.spent.nanos, balance.reserved.nanos


def test_the_limit_may_be_reached_and_not_passed() -> None:
    budget = MemoryBudget()
    budget.reserve(hold("a", 60))
    budget.reserve(hold("b", 40))
    with pytest.raises(BudgetExceededError) as refused:
        budget.reserve(hold("c", 1))
    assert (refused.value.reserved, refused.value.asked, refused.value.scope) == (Money(100), Money(1), "global")
    budget.reserve(hold("free", 0))


def test_one_charge_that_does_not_fit_takes_nothing_from_the_others() -> None:
    budget = MemoryBudget()
    with pytest.raises(BudgetExceededError):
        budget.reserve(hold("a", 60, charge("user:u"), charge("project:p", limit=10)))
    assert used(budget, "user:u") == used(budget, "project:p") == (0, 0)


def test_two_budgets_on_one_key_draw_once() -> None:
    budget = MemoryBudget()
    budget.reserve(hold("a", 60, charge(limit=100), charge(limit=10, hard=False)))
    assert used(budget) == (0, 60)
    budget.settle(hold("a", 60), Money(30))
    assert used(budget) == (30, 0)


def test_more_than_the_hold_is_recorded_as_it_was() -> None:
    budget = MemoryBudget()
    budget.reserve(hold("a", 90))
    budget.settle(hold("a", 90), Money(250))
    assert used(budget) == (250, 0)
    budget.reserve(hold("free", 0))
    with pytest.raises(BudgetExceededError):
        budget.reserve(hold("b", 1))


def test_a_lost_hold_counts_as_spent_until_its_end_comes_after_all() -> None:
    clock = Now()
    budget = MemoryBudget(clock=clock)
    budget.reserve(hold("lost", 70, lease_s=10))
    budget.mark_sent(hold("lost", 70, lease_s=10))
    clock.now += 10
    budget.reserve(hold("b", 10))
    assert used(budget) == (70, 10)
    budget.settle(hold("lost", 70), Money(5))
    budget.settle(hold("lost", 70), Money(5))
    assert used(budget) == (5, 10)


def test_windows_that_are_over_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_SWEEP_EVERY", 10)
    clock = Now()
    budget = MemoryBudget(clock=clock)
    past = dt.datetime.fromtimestamp(1500, dt.UTC)
    for number in range(9):
        name = f"user:{number}|hour"
        budget.reserve(hold(name, 1, charge(name, resets_at=past), lease_s=10))
        if number:
            budget.settle(hold(name, 1), Money(1))
    clock.now = 1500 + 3601
    budget.reserve(hold("last", 1))
    assert len(budget._accounts) == 1
    assert len(budget._holds) == 1
    budget.settle(hold("user:0|hour", 1, charge("user:0|hour")), Money(1))


def test_threads_never_pass_the_limit() -> None:
    budget = MemoryBudget()
    taken: list[str] = []

    def work(name: str) -> None:
        for number in range(300):
            one = hold(f"{name}{number}", 1)
            try:
                budget.reserve(one)
            except BudgetExceededError:
                continue
            if number % 3:
                budget.release(one)
            else:
                budget.settle(one, Money(1))
                taken.append(one.id)

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert used(budget) == (len(taken), 0)
    assert len(taken) == 100
    assert not budget._holds
    assert len(budget._leases) <= 65


def test_a_hold_that_was_never_sent_is_given_back_when_its_lease_ends() -> None:
    clock = Now()
    budget = MemoryBudget(clock=clock)
    budget.reserve(hold("lost", 70, lease_s=10))
    clock.now += 10
    with pytest.raises(BudgetUnavailableError):
        budget.mark_sent(hold("lost", 70, lease_s=10))
    budget.reserve(hold("b", 100))
    assert used(budget) == (0, 100)
    budget.settle(hold("lost", 70), Money(5))
    budget.settle(hold("lost", 70), Money(5))
    assert used(budget) == (5, 100), "its call was sent and billed after all"
