"""Built-in guards."""

from __future__ import annotations

from routekit.plugin import GuardPlugin, hookimpl


@hookimpl
def routekit_guards() -> list[GuardPlugin]:
    from routekit.builtin.guards import pattern
    from routekit.builtin.guards.injection import guard as injection
    from routekit.builtin.guards.pii import guard as pii
    from routekit.builtin.guards.secrets import guard as secrets

    return [pattern.PLUGIN, pii.PLUGIN, secrets.PLUGIN, injection.PLUGIN]
