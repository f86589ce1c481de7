"""Which strategy a call means: by name, by table, by the step and the group that it belongs to."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from routekit.assembly import Parts
from routekit.config import Config, named
from routekit.config.tables.router import StepTable
from routekit.errors import ConfigError, InvalidInputError
from routekit.plugin import OncePerKey, Strategy
from routekit.types import RouteRequest, Step


class Strategies:
    """The strategies of one router, each made once.

    Raises:
        PluginNotFoundError: the configuration names one that nobody registered. ConfigError: its options are wrong.
    """

    def __init__(self, config: Config, parts: Parts) -> None:
        self._config = config
        self._parts = parts
        self._made: OncePerKey[str, Strategy] = OncePerKey()
        self.default = self.resolve(config.router.strategy)
        self._of_groups = {
            name: self.resolve(table.strategy) for name, table in config.groups.items() if table.strategy is not None
        }
        self._of_steps = [(rule, self.resolve(rule.strategy)) for rule in config.steps]
        for name in config.strategies:
            self.resolve(name)

    @property
    def names(self) -> list[str]:
        """Every name that `strategy=` takes: configured ones and plugins."""
        return sorted({*self._config.strategies, *self._parts.registry.names("strategy")})

    def resolve(self, spec: str | Strategy | Mapping[str, Any] | None) -> Strategy:
        """The strategy that a name, an instance or a table (`use` and options) means; None: the default.

        Raises:
            PluginNotFoundError: nobody registered the name. ConfigError: its options are wrong.
            InvalidInputError: it is nothing of the kind.
        """
        if spec is None:
            return self.default
        if isinstance(spec, str):
            return self._made.get(spec, functools.partial(self._named, spec))
        if isinstance(spec, Strategy):
            return self._bound(spec)
        if isinstance(spec, Mapping):
            use, options = named(spec, "strategy", self._config.file)
            return self._bound(self._parts.make("strategy", use, options))
        raise InvalidInputError(
            f"strategy must be a name, a Strategy or a table with 'use'; got {type(spec).__name__}. "
            f"Known names: {', '.join(self.names)}"
        )

    def of_call(self, spec: Any, request: RouteRequest, meant: Callable[[str], str]) -> Strategy:
        """Precedence: what the call says > a step rule > the group > the default. `meant` resolves aliases."""
        if spec is not None:
            return self.resolve(spec)
        if self._of_steps and request.step is not None:
            for rule, strategy in self._of_steps:
                if _matches(rule, request, request.step):
                    return strategy
        if self._of_groups:
            found = self._of_groups.get(meant(request.model or request.group or "default"))
            if found is not None:
                return found
        return self.default

    def _named(self, name: str) -> Strategy:
        table = self._config.strategies.get(name)
        if table is None:
            return self._bound(self._parts.make("strategy", name, {}))
        if isinstance(table, Strategy):
            return self._bound(table)
        if isinstance(table, str):
            return self.resolve(table)
        use, options = named(table, f"strategies.{name}", self._config.file)
        return self._bound(self._parts.make("strategy", use, options, where=f"strategies.{name}"))

    def _bound(self, strategy: Strategy) -> Strategy:
        try:
            return strategy.bound(self.resolve)
        except RecursionError:
            raise ConfigError(
                "strategies delegate to each other in a circle", key="strategies", file=self._config.file,
                fix="Let one of them name a strategy outside the circle.",
            ) from None  # fmt: skip


def _matches(rule: StepTable, request: RouteRequest, step: Step) -> bool:
    when = rule.when
    if when.kind is not None and step.kind not in ([when.kind] if isinstance(when.kind, str) else when.kind):
        return False
    if when.node is not None and step.node not in ([when.node] if isinstance(when.node, str) else when.node):
        return False
    if when.after_tool_error is not None and step.after_tool_error != when.after_tool_error:
        return False
    return set(when.tags) <= set(request.scopes.get("tag", ()))
