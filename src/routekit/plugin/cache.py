"""Caches: the plugins that remember answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from routekit.plugin.offload import offload
from routekit.plugin.registration import Plugin
from routekit.types import CacheEntry, CacheKey, RouteRequest


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


class SemanticCache(Cache):
    """Finds the answer to another question that means the same. The engine embeds questions and pays for it.

    `get` is given keys with a `vector` and answers with entries that have a `similarity` and the `question` that they
    answer. It has to be sure by itself: an entry is handed out, unless a `verifier` is named, which is a deployment
    (or group, or model) that is asked first whether both questions mean the same.

    `embedder` names the deployment that makes the vectors; None: the local sentence model. It is given
    `timeout_s` seconds.
    """

    embedder: str | None = None
    verifier: str | None = None
    timeout_s: float = 2.0

    @abstractmethod
    def question(self, request: RouteRequest) -> str | None:
        """What is to be embedded; None: this request is not compared."""

    def verified(self, key: CacheKey, entry: CacheEntry, same: bool) -> None:
        """What the verifier said about an entry that `get` returned."""


def question_of(request: RouteRequest) -> str | None:
    """The newest user message, where it is the last one and nothing but text."""
    last = request.messages[-1] if request.messages else {}
    content = last.get("content")
    if last.get("role") != "user" or set(last) - {"role", "content"}:
        return None
    if isinstance(content, list) and len(content) == 1 and set(content[0]) == {"type", "text"}:
        content = content[0]["text"]
    return content if isinstance(content, str) and content.strip() else None


@dataclass(frozen=True, slots=True, kw_only=True)
class CachePlugin(Plugin[Cache]):
    """Registers a cache."""

    kind: ClassVar[str] = "cache"
