"""Whether budgets can be enforced."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from routekit.cli.checks.finding import Finding, listed
from routekit.config import Config
from routekit.types import Deployment


def budgets_enforceable(config: Config, deployments: Sequence[Deployment]) -> Iterator[Finding]:
    """Budgets beside deployments whose price nobody knows, budgets that name nobody, and when windows begin."""
    hard = [budget for budget in config.budgets if budget.on_exceeded != "warn"]
    unpriced = [deployment.name for deployment in deployments if deployment.price is None]
    limits = [f"budget {budget.scope}" for budget in hard]
    if config.router.max_cost_usd is not None:
        limits.append("router.max_cost_usd")
    if limits and unpriced:
        policy = config.router.unknown_price if hard and config.router.max_cost_usd is None else "refuse"
        outcome = {
            "refuse": "refused while spending is limited",
            "estimate": "charged like the dearest of their group",
            "allow": "allowed, and missing in what was spent",
        }[policy]
        yield Finding(
            level="error" if policy == "refuse" and len(unpriced) == len(deployments) else "warning",
            subject="budgets",
            problem=f"the price of {listed(unpriced)} is unknown; with {listed(limits)} they are {outcome}",
            fix="Give them price = { input = ..., output = ... } in US dollars per million tokens.",
        )
    names = {
        "deployment": {deployment.name for deployment in deployments},
        "provider": {deployment.provider for deployment in deployments},
    }
    for budget in config.budgets:
        kind, _, value = budget.scope.partition(":")
        if kind in names and value != "*" and value not in names[kind]:
            yield Finding(
                level="warning",
                subject="budgets",
                problem=f"budget {budget.scope} limits nobody: no {kind} is called {value!r}",
                fix=f"Use one of {', '.join(sorted(names[kind]))}.",
            )
        if budget.limit_usd == 0 and budget.on_exceeded == "block":
            yield Finding(
                level="warning",
                subject="budgets",
                problem=f"budget {budget.scope} is 0: every call that costs something is refused",
                fix="Raise limit_usd, unless that is meant.",
            )
        if budget.window != "total":
            zone = budget.timezone if "timezone" in budget.model_fields_set else f"{budget.timezone} (the default)"
            yield Finding(
                level="ok", subject="budgets", problem=f"budget {budget.scope}: a new {budget.window} begins in {zone}"
            )
