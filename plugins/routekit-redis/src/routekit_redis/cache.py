"""Answers on Redis, shared by machines. What the server says is believed only as far as its seal."""

from __future__ import annotations

import hashlib
import hmac
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from routekit.errors import ConfigError
from routekit.plugin import Cache, CacheStats, Once, decode_entry, encode_entry, reset_after_fork, secret_at
from routekit.types import CacheEntry, CacheKey, Clock, SystemClock
from routekit_redis.connection import check_url, connect, prefix_of
from routekit_redis.options import RedisCacheOptions

SEAL_BYTES = 32
SECRET_CHARACTERS = 16
_BATCH = 500


class RedisCache(Cache):
    """One key for each entry, with the entry's end as its time to live; a partition is a part of the key's name.

    Each value carries a seal (HMAC-SHA-256) over its place and itself, under a secret that Redis never sees: a value
    that was changed, moved or made by somebody else is a miss. Machines that share answers need the same secret, in
    the variable that `secret_env` names, and one more in ``[cache] secret_env`` for the keys; without one the secret
    is this machine's own. A server that fails is an error, and the router goes on without the cache.
    """

    shared = True

    def __init__(
        self,
        options: RedisCacheOptions | None = None,
        *,
        env: Mapping[str, str] | None = None,
        home: Path | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.options = options or RedisCacheOptions()
        check_url(self.options)
        self._env = env or {}
        self._time = (clock or SystemClock()).time
        self._secret = _secret(self.options.secret_env, self._env, home)
        self._prefix = f"{prefix_of(self.options.name).strip('{}')}:cache"
        self._most = self.options.max_value_kb * 1024
        self._client: Any = None
        self._lock = threading.Lock()
        reset_after_fork(self)

    def get(self, key: CacheKey) -> CacheEntry | None:
        name = self._name(key.namespace, key.digest)
        # One byte more than may be: what is longer is not read at all.
        return self._opened(name, self._connected().getrange(name, 0, self._most))

    def set(self, key: CacheKey, entry: CacheEntry) -> None:
        name = self._name(key.namespace, key.digest)
        lives_ms = None if entry.expires_at is None else int((entry.expires_at - self._time()) * 1000)
        payload = encode_entry(entry)
        if (lives_ms is not None and lives_ms <= 0) or len(payload) + SEAL_BYTES > self._most:
            return self.delete(key)
        self._connected().set(name, self._seal(name, payload) + payload, px=lives_ms)
        return None

    def delete(self, key: CacheKey) -> None:
        self._connected().unlink(self._name(key.namespace, key.digest))

    def clear(self, namespace: str | None = None) -> None:
        client = self._connected()
        for name in client.scan_iter(match=self._pattern(namespace), count=_BATCH):
            client.unlink(name)

    def stats(self) -> CacheStats:
        client = self._connected()
        partitions: set[bytes] = set()
        entries = size = 0
        for name in client.scan_iter(match=self._pattern(None), count=_BATCH):
            partitions.add(name.rsplit(b":", 1)[0])
            entries += 1
            size += client.strlen(name)
        return CacheStats(len(partitions), entries, size)

    def kept(self, namespace: str) -> Iterator[tuple[str, CacheEntry]]:
        found = []
        for raw in self._connected().scan_iter(match=self._pattern(namespace), count=_BATCH):
            digest = raw.decode().rsplit(":", 1)[1]
            entry = self.get(CacheKey(namespace=namespace, digest=digest))
            if entry is not None:
                found.append((entry.created_at, digest))
        for _, digest in sorted(found, reverse=True):  # one entry at a time: they may be large
            entry = self.get(CacheKey(namespace=namespace, digest=digest))
            if entry is not None:
                yield digest, entry

    def close(self) -> None:
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def after_fork(self) -> None:
        """A forked process may not use its parent's connection."""
        self._client, self._lock = None, threading.Lock()

    def _opened(self, name: str, sealed: bytes | None) -> CacheEntry | None:
        if not sealed or len(sealed) <= SEAL_BYTES or len(sealed) > self._most:
            return None
        payload = sealed[SEAL_BYTES:]
        if not hmac.compare_digest(sealed[:SEAL_BYTES], self._seal(name, payload)):
            return None
        try:
            entry = decode_entry(payload)
        except ValueError:
            return None
        return None if entry.expires_at is not None and entry.expires_at <= self._time() else entry

    def _connected(self) -> Any:
        found = self._client
        if found is None:
            with self._lock:
                if self._client is None:
                    self._client = connect(self.options, self._env)
                found = self._client
        return found

    def _name(self, namespace: str, digest: str) -> str:
        return f"{self._prefix}:{_partition(namespace)}:{digest}"

    def _pattern(self, namespace: str | None) -> str:
        return f"{self._prefix}:{'*' if namespace is None else _partition(namespace)}:*"

    def _seal(self, name: str, payload: bytes) -> bytes:
        return hmac.digest(self._secret(), f"routekit redis cache 1\0{name}\0".encode() + payload, "sha256")


def _partition(namespace: str) -> str:
    return hashlib.sha256(namespace.encode(errors="surrogatepass")).hexdigest()[:32]


def _secret(variable: str | None, env: Mapping[str, str], home: Path | None) -> Callable[[], bytes]:
    """The secret of the variable, else this machine's own, else one of this object's."""
    if variable is not None:
        given = env.get(variable, "")
        if len(given) < SECRET_CHARACTERS:
            raise ConfigError(
                f"the variable {variable} must hold a secret of at least {SECRET_CHARACTERS} characters",
                key="secret_env", fix="Set it to the same random text on every machine.",
            )  # fmt: skip
        return given.encode
    return Once(lambda: os.urandom(SEAL_BYTES) if home is None else secret_at(home / "cache" / "redis.key"))
