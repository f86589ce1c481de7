"""The built-in caches keep the contract that third parties' caches keep."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from routekit.builtin.caches.disk.cache import DiskCache
from routekit.builtin.caches.memory import MemoryCache
from routekit.plugin import Cache
from routekit.testing.contracts import CacheContract


class TestMemory(CacheContract):
    @pytest.fixture
    def cache(self) -> Cache:
        return MemoryCache()


class TestDisk(CacheContract):
    @pytest.fixture
    def cache(self, tmp_path: Path) -> Iterator[Cache]:
        cache = DiskCache(tmp_path / "cache")
        yield cache
        cache.close()
