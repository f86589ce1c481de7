"""Built-in strategies, one per file. They pass the contract suite that third parties' pass."""

from __future__ import annotations

from routekit.builtin.strategies.balanced import Balanced
from routekit.builtin.strategies.best import Best
from routekit.builtin.strategies.cascade import Cascade
from routekit.builtin.strategies.cheapest import Cheapest
from routekit.builtin.strategies.explore import Explore
from routekit.builtin.strategies.fastest import Fastest
from routekit.builtin.strategies.least_busy import LeastBusy
from routekit.builtin.strategies.ordered import Ordered
from routekit.builtin.strategies.per_step import PerStep
from routekit.builtin.strategies.rules import Rules
from routekit.builtin.strategies.weighted import Weighted
from routekit.plugin import StrategyPlugin, hookimpl

BUILTIN = (Cheapest, Fastest, Best, Balanced, Ordered, Weighted, LeastBusy, Cascade, Rules, PerStep, Explore)


@hookimpl
def routekit_strategies() -> list[StrategyPlugin]:
    return [StrategyPlugin.of(strategy) for strategy in BUILTIN]


__all__ = [
    "BUILTIN",
    "Balanced",
    "Best",
    "Cascade",
    "Cheapest",
    "Explore",
    "Fastest",
    "LeastBusy",
    "Ordered",
    "PerStep",
    "Rules",
    "Weighted",
]
