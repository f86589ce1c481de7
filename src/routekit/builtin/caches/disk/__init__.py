"""Answers on disk, a sealed partition per tenant."""

from routekit.builtin.caches.disk.cache import PLUGIN, DiskCache, DiskCacheOptions

__all__ = ["PLUGIN", "DiskCache", "DiskCacheOptions"]
