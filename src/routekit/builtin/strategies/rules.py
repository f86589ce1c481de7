"""Rules: the first that matches says which strategy ranks, and among whom."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import Field, model_validator

from routekit.builtin.strategies._conditions import Condition, compiled
from routekit.builtin.strategies._delegating import Choice, Delegating, StrategyOption
from routekit.builtin.strategies.cheapest import Cheapest
from routekit.plugin import Options
from routekit.types import Deployment, RouteRequest


class Rule(Options):
    """When a rule applies and what it does. `use` left out means the default strategy."""

    when: dict[str, Any] = Field(description="Conditions; all must hold. See the strategy's text.")
    use: StrategyOption | None = Field(None, description="The strategy that ranks.")
    group: str | None = Field(None, description="Only deployments of this group.")
    deployments: tuple[str, ...] = Field((), description="Only these deployments.")
    tags: tuple[str, ...] = Field((), description="Only deployments with all of these tags.")
    name: str = Field("", description="What the rule is called in explanations.")

    @model_validator(mode="after")
    def _does_something(self) -> Rule:
        compiled(self.when)
        if self.use is None and not (self.group or self.deployments or self.tags):
            raise ValueError("the rule does nothing; give it `use`, `group`, `deployments` or `tags`")
        return self


class RulesOptions(Options):
    rules: tuple[Rule, ...] = Field((), description="In order; the first that matches is the one that counts.")
    default: StrategyOption = Field(default_factory=Cheapest, description="Where no rule matches. cheapest")


class Rules(Delegating):
    """The first rule whose conditions hold says which strategy ranks, and among which deployments.

    Conditions are data, never code::

        [[strategies.mine.rules]]
        when = { tools = true, tokens = { "$gt" = 4000 } }
        use = "best"

        [[strategies.mine.rules]]
        when = { "$or" = [{ "scopes.project" = "search" }, { metadata.tier = { "$in" = ["free", "trial"] } }] }
        use = { use = "cheapest", min_quality = 0.5 }
        tags = ["eu"]

    Fields: `text` (the newest user message), `tokens` (likely input tokens), `messages` (how many),
    `tools` (names, or how many), `tags`, `capabilities`, ``scopes.<kind>``, ``metadata.<key>``,
    ``params.<key>``, ``step.kind``, ``step.node``, ``step.index``, ``step.run_id``,
    ``step.after_tool_error``, `group`, `model`, `session`, `stream`. Operators: ``$eq $ne $in $nin
    $gt $gte $lt $lte $regex $exists $and $or $not``; a plain value means ``$eq``, a list ``$in``.

    Patterns search the first 10,000 characters of a text. A pattern that repeats a repeat without a
    limit is refused, because a hostile text could stop the program with it.

    A rule that narrows to nobody leaves nobody: the request fails and says which rule it was.
    """

    name = "rules"
    Options = RulesOptions
    options: RulesOptions

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._rules: list[tuple[Condition, Choice]] = [
            (compiled(rule.when), _choice(rule, number)) for number, rule in enumerate(self.options.rules, 1)
        ]

    def nested(self) -> dict[str, Any]:
        used = {_slot(number): rule.use for number, rule in enumerate(self.options.rules, 1) if rule.use is not None}
        return {"default": self.options.default, **used}

    def choose(self, request: RouteRequest) -> Choice:
        for matches, choice in self._rules:
            if matches(request):
                return choice
        return _NO_RULE


_NO_RULE = Choice("default", "no rule matched")


def _slot(number: int) -> str:
    return f"rules.{number}"


def _choice(rule: Rule, number: int) -> Choice:
    label = f"rule {number} ({rule.name})" if rule.name else f"rule {number}"
    slot = "default" if rule.use is None else _slot(number)
    keep, what = _keep(rule)
    return Choice(slot, label, keep, f"{label} narrows to {what}" if keep else "")


def _keep(rule: Rule) -> tuple[Callable[[Deployment], bool] | None, str]:
    """Which deployments a rule lets through, and how to say it."""
    group, names, tags = rule.group, frozenset(rule.deployments), frozenset(rule.tags)
    if group is None and not names and not tags:
        return None, ""
    said = [
        f"group {group!r}" if group is not None else "",
        f"deployments {', '.join(rule.deployments)}" if names else "",
        f"tags {', '.join(rule.tags)}" if tags else "",
    ]

    def keep(deployment: Deployment) -> bool:
        return (
            (group is None or deployment.group == group)
            and (not names or deployment.name in names)
            and tags <= deployment.tags
        )

    return keep, " and ".join(part for part in said if part)
