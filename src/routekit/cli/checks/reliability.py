"""What a configuration makes impossible without saying so: tiers nobody reaches, limits that cannot be kept.

Each check is a generator of findings, a function of its arguments, and silent where all is well.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from routekit.cli.checks.finding import Finding
from routekit.config import Config
from routekit.config.tables.router import WhenTable
from routekit.types import Deployment

SHORT_S = 1.0
"""Few models begin to answer in less."""


def limits_can_be_kept(config: Config) -> Iterator[Finding]:
    """A deadline that is over before the limits inside it can matter."""
    deadline_s, reliability = config.router.deadline_s, config.reliability
    if not deadline_s:
        return
    for name, limit_s in (("first_token_s", reliability.first_token_s), ("idle_s", reliability.idle_s)):
        if limit_s is not None and limit_s >= deadline_s:
            yield Finding(
                level="error" if name == "first_token_s" else "warning",
                subject="deadline",
                problem=f"reliability.{name} is {limit_s:g} s, but requests end after {deadline_s:g} s: it never takes "
                "effect, and a silent deployment costs the whole request",
                fix=f"Set {name} well below router.deadline_s, so that somebody else can still answer.",
            )
    if deadline_s / 2 < SHORT_S and reliability.first_token_s is None:
        yield Finding(
            level="warning",
            subject="deadline",
            problem=f"requests end after {deadline_s:g} s; while others are left an attempt gets half of that, less "
            "than most models take to begin",
            fix="Raise router.deadline_s, or set reliability.first_token_s.",
        )
    if reliability.wait_for_recovery_s >= deadline_s:
        yield Finding(
            level="warning",
            subject="deadline",
            problem=f"reliability.wait_for_recovery_s is {reliability.wait_for_recovery_s:g} s, the deadline "
            f"{deadline_s:g} s: a request that waits so long has no time left to be answered",
            fix="Set wait_for_recovery_s below router.deadline_s.",
        )


def tiers_reachable(config: Config, deployments: Sequence[Deployment]) -> Iterator[Finding]:
    """Tiers of a cascade beyond the limit of attempts, and rules that an earlier one always precedes."""
    groups: dict[str, list[str]] = defaultdict(list)
    for deployment in deployments:
        if deployment.weight > 0:
            groups[deployment.group].append(deployment.name)
    most = config.router.max_attempts
    for group, spec in _strategies(config, groups):
        members = groups.get(group, [])
        if _uses(config, spec, "cascade") and len(members) > most:
            yield Finding(
                level="warning",
                subject="tiers",
                problem=f"the cascade of group {group} has {len(members)} tiers, but a request makes at most {most} "
                f"attempts: {len(members) - most} of them are only asked when others are unavailable",
                fix="Raise router.max_attempts, or give the cascade fewer deployments.",
            )
    yield from _shadowed("steps", [step.when for step in config.steps])
    for name, spec in config.strategies.items():
        rules = spec.get("rules") if isinstance(spec, Mapping) else None
        if isinstance(rules, list | tuple):
            conditions = [rule.get("when") for rule in rules if isinstance(rule, Mapping)]
            yield from _shadowed(f"strategies.{name}.rules", conditions)


def features_possible(config: Config, deployments: Sequence[Deployment]) -> Iterator[Finding]:
    """Wishes that no deployment can grant."""
    reliability = config.reliability
    if reliability.on_interrupt == "continue":
        able = [d.name for d in deployments if "prefill" in d.model.capabilities]
        if not able:
            yield Finding(
                level="warning",
                subject="streams",
                problem='reliability.on_interrupt is "continue", but no deployment can go on from a partial answer '
                "(the capability prefill): broken streams stay errors",
                fix='Add such a deployment, list "prefill" among the capabilities of one that can, or choose "error".',
            )
    if reliability.hedge:
        counts: dict[str, int] = defaultdict(int)
        for deployment in deployments:
            counts[deployment.group] += deployment.weight > 0
        if max(counts.values(), default=0) < 2:
            yield Finding(
                level="warning",
                subject="hedging",
                problem="reliability.hedge is on, but no group has a second deployment: nothing is ever hedged",
                fix="Add a second deployment to a group, or switch hedging off.",
            )
        unpriced = [d.name for d in deployments if d.model.price is None]
        if unpriced:
            yield Finding(
                level="warning",
                subject="hedging",
                problem=f"reliability.hedge is on, but the price of {', '.join(unpriced[:5])} is unknown: an attempt "
                "there is never a hedge, because its cost could not be kept within the share",
                fix="Give these deployments a price.",
            )


def of_reliability(config: Config, deployments: Sequence[Deployment]) -> Iterator[Finding]:
    """All of them."""
    yield from limits_can_be_kept(config)
    yield from tiers_reachable(config, deployments)
    yield from features_possible(config, deployments)


def _strategies(config: Config, groups: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Each group with the strategy that serves it."""
    for group in groups:
        table = config.groups.get(group)
        yield group, config.router.strategy if table is None or table.strategy is None else table.strategy


def _uses(config: Config, spec: Any, kind: str) -> bool:
    """Whether a strategy, by name or table, is of this kind."""
    if isinstance(spec, str):
        named = config.strategies.get(spec)
        return spec == kind if named is None or named == spec else _uses(config, named, kind)
    if isinstance(spec, Mapping):
        use = spec.get("use")
        return use == kind if isinstance(use, str) and use not in config.strategies else _uses(config, use, kind)
    return getattr(spec, "name", None) == kind


def _shadowed(where: str, conditions: Sequence[Any]) -> Iterator[Finding]:
    """Conditions that an earlier, equal or empty one always precedes: the first match counts."""
    for place, condition in enumerate(conditions):
        for earlier in range(place):
            if _is_empty(conditions[earlier]) or conditions[earlier] == condition:
                what = "matches everything" if _is_empty(conditions[earlier]) else "has the same conditions"
                yield Finding(
                    level="error",
                    subject="rules",
                    problem=f"{where}.{place} can never apply: {where}.{earlier} before it {what}, and the first match "
                    "counts",
                    fix="Put the more special one first, or remove it.",
                )
                break


def _is_empty(condition: Any) -> bool:
    if isinstance(condition, WhenTable):
        return condition == WhenTable()
    return isinstance(condition, Mapping) and not condition
