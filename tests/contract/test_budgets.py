"""The built-in budget stores keep the contract that third parties' stores keep."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from routekit.builtin.budgets.ledger.budget import LedgerBudget
from routekit.builtin.budgets.memory import MemoryBudget
from routekit.plugin import Budget, Ledger
from routekit.testing.contracts import BudgetContract, LedgerContract


class TestMemory(BudgetContract):
    @pytest.fixture
    def budget(self) -> Budget:
        return MemoryBudget()


class TestLedger(LedgerContract):
    @pytest.fixture
    def ledger(self, tmp_path: Path) -> Iterator[Ledger]:
        ledger = LedgerBudget(tmp_path / "ledger.sqlite3", busy_timeout_s=5)
        yield ledger
        assert ledger.verify() == []
        ledger.close()
