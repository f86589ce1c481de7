"""The built-in budget stores keep the contract that third parties' stores keep."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from routekit.builtin.budgets.ledger import LedgerBudget
from routekit.builtin.budgets.memory import MemoryBudget
from routekit.plugin import Budget
from routekit.testing.contracts import BudgetContract


class TestMemory(BudgetContract):
    @pytest.fixture
    def budget(self) -> Budget:
        return MemoryBudget()


class TestLedger(BudgetContract):
    @pytest.fixture
    def budget(self, tmp_path: Path) -> Iterator[Budget]:
        budget = LedgerBudget(tmp_path / "ledger.sqlite3", busy_timeout_s=5)
        yield budget
        assert budget.verify() == []
        budget.close()
