"""Caches: the plugins that remember answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from routekit.plugin.offload import offload
from routekit.plugin.registration import Plugin
from routekit.types import CacheEntry, CacheKey


class CacheStats(NamedTuple):
    """What a cache keeps: partitions, entries (expired ones may be among them), and bytes on disk or in memory."""

    partitions: int
    entries: int
    size_bytes: int


class Cache(ABC):
    """Remembers complete answers. Safe in threads; an entry past its `expires_at` is a miss.

    Entries are handed out as they are: the engine copies what it gives to callers. Whatever is
    wrong with stored data is a miss, never an answer. A failure may be raised: the engine then goes
    on without the cache. `shared` says that other processes see what is stored.
    """

    shared: ClassVar[bool] = False

    @abstractmethod
    def get(self, key: CacheKey) -> CacheEntry | None:
        """The entry, or None."""

    @abstractmethod
    def set(self, key: CacheKey, entry: CacheEntry) -> None:
        """Stores an entry, replacing an older one."""

    @abstractmethod
    def delete(self, key: CacheKey) -> None:
        """Forgets an entry; unknown keys are fine."""

    def clear(self, namespace: str | None = None) -> None:
        """Forgets a whole partition, or everything."""
        raise NotImplementedError(f"{type(self).__name__} cannot be cleared")

    def stats(self) -> CacheStats | None:
        """How much is kept, over all partitions; None where nobody can tell."""
        return None

    def kept(self, namespace: str) -> Iterator[tuple[str, CacheEntry]]:
        """Digests and entries of one partition, newest first, expired ones left out."""
        raise NotImplementedError(f"{type(self).__name__} cannot be looked into")

    async def aget(self, key: CacheKey) -> CacheEntry | None:
        return await offload(self.get, key)

    async def aset(self, key: CacheKey, entry: CacheEntry) -> None:
        await offload(self.set, key, entry)

    def close(self) -> None:
        """Frees what is held."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CachePlugin(Plugin[Cache]):
    """Registers a cache."""

    kind: ClassVar[str] = "cache"
