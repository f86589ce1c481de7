"""Built-in budgets."""

from __future__ import annotations

from routekit.plugin import BudgetPlugin, hookimpl


@hookimpl
def routekit_budgets() -> list[BudgetPlugin]:
    from routekit.builtin.budgets import memory
    from routekit.builtin.budgets.ledger import budget as ledger

    return [memory.PLUGIN, ledger.PLUGIN]
