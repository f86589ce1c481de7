"""Built-in observers."""

from __future__ import annotations

from routekit.plugin import ObserverPlugin, hookimpl


@hookimpl
def routekit_observers() -> list[ObserverPlugin]:
    from routekit.builtin.observers import log, opentelemetry
    from routekit.builtin.observers.records import observer as records

    return [log.PLUGIN, opentelemetry.PLUGIN, records.PLUGIN]
