"""Built-in guards."""

from __future__ import annotations

from routekit.plugin import GuardPlugin, hookimpl


@hookimpl
def routekit_guards() -> list[GuardPlugin]:
    from routekit.builtin.guards import pattern

    return [pattern.PLUGIN]
