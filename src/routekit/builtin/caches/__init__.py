"""Built-in caches."""

from __future__ import annotations

from routekit.plugin import CachePlugin, hookimpl


@hookimpl
def routekit_caches() -> list[CachePlugin]:
    from routekit.builtin.caches import disk, memory, semantic

    return [memory.PLUGIN, disk.PLUGIN, semantic.PLUGIN]
