"""Answers in this process: least recently used first out, bounded by bytes and by number."""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from threading import Lock
from typing import Any

from pydantic import Field

from routekit.plugin import Cache, CachePlugin, CacheStats, Options, PluginContext
from routekit.types import CacheEntry, CacheKey, Clock, SystemClock

ENTRY_BYTES = 600
"""Around each entry: the entry itself, usage, money, key and a place in the dictionary; measured."""


class MemoryCacheOptions(Options):
    """`max_mb` is in mebibytes of estimated memory; an entry larger than that is not kept."""

    max_mb: float = Field(default=64, gt=0)
    max_entries: int = Field(default=10_000, gt=0)


class MemoryCache(Cache):
    """One lock, one ordered dictionary. What is read moves to the young end; the old end is dropped."""

    def __init__(self, *, clock: Clock | None = None, **options: Any) -> None:
        self.options = MemoryCacheOptions.checked(options, where="memory")
        self._time = (clock or SystemClock()).time
        self._max_bytes = int(self.options.max_mb * 1024 * 1024)
        self._lock = Lock()
        self._kept: OrderedDict[tuple[str, str], tuple[CacheEntry, int]] = OrderedDict()
        self._bytes = 0

    def get(self, key: CacheKey) -> CacheEntry | None:
        place = (key.namespace, key.digest)
        with self._lock:
            found = self._kept.get(place)
            if found is None:
                return None
            entry = found[0]
            if entry.expires_at is not None and entry.expires_at <= self._time():
                self._drop(place)
                return None
            self._kept.move_to_end(place)
            return entry

    def set(self, key: CacheKey, entry: CacheEntry) -> None:
        place = (key.namespace, key.digest)
        size = ENTRY_BYTES + _bytes_of(entry.message) + _bytes_of(entry.deltas)
        with self._lock:
            self._drop(place)
            if size > self._max_bytes:
                return
            self._kept[place] = (entry, size)
            self._bytes += size
            while self._bytes > self._max_bytes or len(self._kept) > self.options.max_entries:
                _, (_, dropped) = self._kept.popitem(last=False)
                self._bytes -= dropped

    def delete(self, key: CacheKey) -> None:
        with self._lock:
            self._drop((key.namespace, key.digest))

    def clear(self, namespace: str | None = None) -> None:
        with self._lock:
            for place in [place for place in self._kept if namespace is None or place[0] == namespace]:
                self._drop(place)

    def stats(self) -> CacheStats:
        with self._lock:
            return CacheStats(len({namespace for namespace, _ in self._kept}), len(self._kept), self._bytes)

    def kept(self, namespace: str) -> Iterator[tuple[str, CacheEntry]]:
        now = self._time()
        with self._lock:
            found = [(digest, entry) for (name, digest), (entry, _) in self._kept.items() if name == namespace]
        yield from sorted(
            ((digest, entry) for digest, entry in found if entry.expires_at is None or entry.expires_at > now),
            key=lambda pair: -pair[1].created_at,
        )

    async def aget(self, key: CacheKey) -> CacheEntry | None:
        return self.get(key)

    async def aset(self, key: CacheKey, entry: CacheEntry) -> None:
        self.set(key, entry)

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def size_bytes(self) -> int:
        """The estimated memory of all entries."""
        return self._bytes

    def _drop(self, place: tuple[str, str]) -> None:
        found = self._kept.pop(place, None)
        if found is not None:
            self._bytes -= found[1]


def _bytes_of(value: Any) -> int:
    """The memory of plain data. A value that stands in it twice counts twice: the estimate errs upwards."""
    total, left = 0, [value]
    while left:
        item = left.pop()
        total += sys.getsizeof(item)
        if isinstance(item, Mapping):
            left.extend(item.keys())
            left.extend(item.values())
        elif isinstance(item, (list, tuple)):
            left.extend(item)
    return total


def _make(options: MemoryCacheOptions, context: PluginContext) -> MemoryCache:
    return MemoryCache(clock=context.clock, **options.model_dump())


PLUGIN = CachePlugin(
    name="memory",
    factory=_make,
    options=MemoryCacheOptions,
    summary="Exact answers in this process; least recently used first out.",
)
