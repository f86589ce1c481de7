"""Built-in budgets."""
