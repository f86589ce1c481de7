"""Built-in budgets."""

from __future__ import annotations

from routekit.plugin import BudgetPlugin, hookimpl


@hookimpl
def routekit_budgets() -> list[BudgetPlugin]:
    from routekit.builtin.budgets import ledger, memory

    return [memory.PLUGIN, ledger.PLUGIN]
