"""Built-in caches."""

from __future__ import annotations

from routekit.plugin import CachePlugin, hookimpl


@hookimpl
def routekit_caches() -> list[CachePlugin]:
    from routekit.builtin.caches import memory
    from routekit.builtin.caches.disk import cache as disk
    from routekit.builtin.caches.semantic import cache as semantic

    return [memory.PLUGIN, disk.PLUGIN, semantic.PLUGIN]
