"""What the ledger's tests run in other processes."""

from __future__ import annotations

import sys
import time

from routekit.builtin.budgets.ledger.budget import LedgerBudget
from routekit.errors import BudgetExceededError, BudgetUnavailableError
from routekit.types import Charge, Money, Reservation


def main(file: str, name: str, tries: int, limit: int) -> None:
    """Reserves 1 unit `tries` times and settles two of three; prints what was settled and how often it was refused."""
    budget = LedgerBudget(file, busy_timeout_s=5)
    charge = Charge(key="global|total", scope="global", limit=Money(limit))
    other = Charge(key=f"user:{name}|total", scope=f"user:{name}", limit=Money(limit))
    settled = refused = 0
    for number in range(tries):
        hold = Reservation(id=f"{name}-{number}", charges=(charge, other), amount=Money(1), lease_s=3600)
        for _ in range(100):
            try:
                budget.reserve(hold)
                break
            except BudgetUnavailableError:
                time.sleep(0.01)
            except BudgetExceededError:
                refused += 1
                break
        if number % 3 == 2:
            budget.release(hold)
        elif number % 3 == 1 or tries < 10**6:
            budget.settle(hold, Money(1))
        settled = number + 1
        if tries >= 10**6:
            print(number, flush=True)
    budget.close()
    print(settled, refused, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
