"""The append-only ledger in SQLite, shared by the processes of a machine."""

from routekit.builtin.budgets.ledger.budget import PLUGIN, LedgerBudget, LedgerOptions

__all__ = ["PLUGIN", "LedgerBudget", "LedgerOptions"]
