"""The hooks. Each is called once, when a registry is built; none is on the way of a request."""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

from routekit.plugin.budget import BudgetPlugin
from routekit.plugin.cache import CachePlugin
from routekit.plugin.compressor import CompressorPlugin
from routekit.plugin.guard import GuardPlugin
from routekit.plugin.observer import ObserverPlugin
from routekit.plugin.provider import ProviderPlugin
from routekit.plugin.recipe import RecipePlugin
from routekit.plugin.scorer import ScorerPlugin
from routekit.plugin.shared import SharedPlugin
from routekit.plugin.strategy import StrategyPlugin

PROJECT = "routekit"
"""The name of the pluggy project and of the entry point group."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class RoutekitSpecs:
    """What a plugin module may define. Every hook takes nothing and returns registrations."""

    @hookspec
    def routekit_providers(self) -> Iterable[ProviderPlugin]:
        """Registers providers.

        Example::

            from routekit.plugin import Answer, Provider, ProviderPlugin, hookimpl

            class Echo(Provider):
                def complete(self, call):
                    text = call.messages[-1]["content"]
                    return Answer(message={"role": "assistant", "content": text}, finish_reason="stop")

            @hookimpl
            def routekit_providers():
                return [ProviderPlugin(name="echo", factory=lambda options, context: Echo())]
        """
        raise NotImplementedError

    @hookspec
    def routekit_strategies(self) -> Iterable[StrategyPlugin]:
        """Registers strategies.

        Example::

            from routekit.plugin import Strategy, StrategyPlugin, hookimpl

            class Alphabetical(Strategy):
                \"\"\"By name.\"\"\"
                name = "alphabetical"

                def rank(self, request, candidates, signals):
                    return self.decide(candidates, lambda c: 0.0, "first by name", signals)

            @hookimpl
            def routekit_strategies():
                return [StrategyPlugin.of(Alphabetical)]
        """
        raise NotImplementedError

    @hookspec
    def routekit_caches(self) -> Iterable[CachePlugin]:
        """Registers caches."""
        raise NotImplementedError

    @hookspec
    def routekit_compressors(self) -> Iterable[CompressorPlugin]:
        """Registers compressors."""
        raise NotImplementedError

    @hookspec
    def routekit_budgets(self) -> Iterable[BudgetPlugin]:
        """Registers budget stores."""
        raise NotImplementedError

    @hookspec
    def routekit_guards(self) -> Iterable[GuardPlugin]:
        """Registers guards."""
        raise NotImplementedError

    @hookspec
    def routekit_observers(self) -> Iterable[ObserverPlugin]:
        """Registers observers."""
        raise NotImplementedError

    @hookspec
    def routekit_shared(self) -> Iterable[SharedPlugin]:
        """Registers state that several machines share: limits and ejections."""
        raise NotImplementedError

    @hookspec
    def routekit_scorers(self) -> Iterable[ScorerPlugin]:
        """Registers scorers: how good each deployment's answer to a request would be."""
        raise NotImplementedError

    @hookspec
    def routekit_recipes(self) -> Iterable[RecipePlugin]:
        """Registers recipes: folders that `routekit recipes` lists beside its own."""
        raise NotImplementedError


HOOKS = {
    "provider": "routekit_providers",
    "strategy": "routekit_strategies",
    "cache": "routekit_caches",
    "compressor": "routekit_compressors",
    "budget": "routekit_budgets",
    "guard": "routekit_guards",
    "observer": "routekit_observers",
    "shared": "routekit_shared",
    "scorer": "routekit_scorers",
    "recipe": "routekit_recipes",
}
"""Kind to hook."""
