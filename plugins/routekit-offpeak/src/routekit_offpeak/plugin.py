"""The entry point."""

from __future__ import annotations

from routekit.plugin import StrategyPlugin, hookimpl
from routekit_offpeak.strategy import OffPeak


@hookimpl
def routekit_strategies() -> list[StrategyPlugin]:
    return [StrategyPlugin.of(OffPeak)]
