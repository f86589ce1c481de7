"""Answers on disk: one hardened diskcache per namespace, every value authenticated.

`partition` says what is wrong with a stock diskcache and what is different here. On top of it, each
value carries a MAC under a key that only the owner can read, bound to the place the value stands in.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import logging
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import Field

from routekit.plugin import (
    Cache,
    CachePlugin,
    CacheStats,
    Options,
    PluginContext,
    decode_entry,
    encode_entry,
    secret_at,
)
from routekit.types import CacheEntry, CacheKey, Clock, SystemClock

if TYPE_CHECKING:
    from routekit.builtin.caches.partition import Partition

try:
    import fcntl
except ImportError:  # Windows: two processes that open a new partition at once may lose its entries
    fcntl = None  # type: ignore[assignment]  # Windows has none

T = TypeVar("T")
_log = logging.getLogger("routekit.cache")

MAC_BYTES = 32
KEY_FILE, LOCK_FILE = "key", "lock"
_PARTITION = re.compile(r"[0-9a-f]{32}")


class DiskCacheOptions(Options):
    """`size_limit_mb` bounds each partition on disk; what was stored first goes first."""

    size_limit_mb: float = Field(default=256, gt=0)


class DiskCache(Cache):
    """One directory per namespace under `directory`, named by a hash. Damage of any kind is a miss.

    A damaged partition is thrown away and begun again. What keeps the disk from working at all
    (read-only, full, locked for long) is raised.
    """

    shared = True

    def __init__(self, directory: str | Path, *, clock: Clock | None = None, **options: Any) -> None:
        self.options = DiskCacheOptions.checked(options, where="disk")
        self.directory = Path(directory)
        self._time = (clock or SystemClock()).time
        self._lock = Lock()
        self._open: dict[str, Partition] = {}
        self._secret: bytes | None = None

    def get(self, key: CacheKey) -> CacheEntry | None:
        name = _partition_name(key.namespace)
        sealed = self._with(name, lambda partition: partition.get(key.digest))
        if sealed is None:
            return None
        payload = sealed[MAC_BYTES:]
        if not hmac.compare_digest(sealed[:MAC_BYTES], self._mac(name, key.digest, payload)):
            return None
        try:
            entry = decode_entry(payload)
        except ValueError:
            return None
        return None if entry.expires_at is not None and entry.expires_at <= self._time() else entry

    def stats(self) -> CacheStats:
        partitions = entries = size = 0
        if self.directory.exists():
            for path in self.directory.iterdir():
                if _PARTITION.fullmatch(path.name):
                    partitions += 1
                    entries += self._with(path.name, len) or 0
                    size += sum(file.lstat().st_size for file in path.iterdir())
        return CacheStats(partitions, entries, size)

    def kept(self, namespace: str) -> Iterator[tuple[str, CacheEntry]]:
        name = _partition_name(namespace)
        if not (self.directory / name).exists():
            return
        found = []
        for digest in self._with(name, list) or ():
            entry = self.get(CacheKey(namespace=namespace, digest=digest))
            if entry is not None:
                found.append((digest, entry.created_at))
        for digest, _ in sorted(found, key=lambda pair: -pair[1]):  # one entry at a time: they may be large
            entry = self.get(CacheKey(namespace=namespace, digest=digest))
            if entry is not None:
                yield digest, entry

    def set(self, key: CacheKey, entry: CacheEntry) -> None:
        name = _partition_name(key.namespace)
        payload = encode_entry(entry)
        lives_s = None if entry.expires_at is None else entry.expires_at - self._time()
        if lives_s is not None and lives_s <= 0:
            return self.delete(key)

        def store(partition: Partition) -> bool:
            sealed = self._mac(name, key.digest, payload) + payload
            return bool(partition.set(key.digest, sealed, expire=lives_s))

        if self._with(name, store) is None:
            self._with(name, store)  # the partition was damaged and is new now
        return None

    def delete(self, key: CacheKey) -> None:
        self._with(_partition_name(key.namespace), lambda partition: partition.delete(key.digest))

    def clear(self, namespace: str | None = None) -> None:
        if namespace is not None:
            self._with(_partition_name(namespace), _clear)
        elif self.directory.exists():
            for path in self.directory.iterdir():
                if _PARTITION.fullmatch(path.name):
                    self._with(path.name, _clear)
                elif re.fullmatch(r"[0-9a-f]{32}\.old-[0-9a-f]{8}", path.name) and not path.is_symlink():
                    shutil.rmtree(path)  # a process died while it threw this one away

    def close(self) -> None:
        with self._lock:
            for partition in self._open.values():
                partition.close()
            self._open.clear()

    def _with(self, name: str, use: Callable[[Partition], T]) -> T | None:
        """What `use` makes of the partition, or None where it turned out to be damaged."""
        try:
            return use(self._partition(name))
        except Exception as error:
            if not _is_damage(error):
                raise
            _log.warning("cache partition %s is damaged (%s) and begun again", name, type(error).__name__)
            with self._lock, self._alone():
                self._discard(name)
            return None

    def _partition(self, name: str) -> Partition:
        found = self._open.get(name)
        if found is not None:
            return found
        with self._lock:
            if name in self._open:
                return self._open[name]
            with self._alone():
                self._secret = secret_at(self.directory / KEY_FILE)
                try:
                    self._open[name] = self._opened(name)
                except Exception as error:
                    if not _is_damage(error):
                        raise
                    _log.warning("cache partition %s is damaged (%s) and begun again", name, type(error).__name__)
                    self._discard(name)
                    self._open[name] = self._opened(name)
                return self._open[name]

    def _opened(self, name: str) -> Partition:
        from routekit.builtin.caches.partition import open_partition  # imports diskcache and sqlite3

        path = self.directory / name
        if path.is_symlink() or (path.exists() and not path.is_dir()):
            self._discard(name)
        _own_directory(path)
        return open_partition(path, int(self.options.size_limit_mb * 1024 * 1024))

    def _discard(self, name: str) -> None:
        """Moves the partition out of the way, then deletes it. Links are removed, never followed."""
        partition = self._open.pop(name, None)
        if partition is not None:
            with contextlib.suppress(Exception):
                partition.close()
        path = self.directory / name
        if path.is_symlink() or path.is_file():
            path.unlink()
        elif path.exists():
            old = path.with_name(f"{name[:32]}.old-{secrets.token_hex(4)}")
            path.rename(old)
            shutil.rmtree(old)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Only one process at a time opens or discards partitions."""
        _own_directory(self.directory)
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        lock = os.open(self.directory / LOCK_FILE, flags, 0o600)
        try:
            if fcntl is not None:
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _mac(self, name: str, digest: str, payload: bytes) -> bytes:
        """Over the place as well as the value: an entry that was moved or copied elsewhere is a miss."""
        assert self._secret is not None  # set before any partition is open
        place = f"routekit cache 1\0{name}\0{digest}\0".encode()
        return hmac.digest(self._secret, place + payload, "sha256")


def _clear(partition: Partition) -> None:
    partition.clear(retry=True)


def _partition_name(namespace: str) -> str:
    return hashlib.sha256(namespace.encode(errors="surrogatepass")).hexdigest()[:32]


def _own_directory(path: Path) -> None:
    """Makes the directory, or checks that it is ours, and keeps others out of it.

    Raises:
        PermissionError: it belongs to somebody else.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.name != "posix":
        return
    found = path.stat()
    if found.st_uid != os.geteuid():
        raise PermissionError(f"the cache directory {path} belongs to another user")
    if found.st_mode & 0o077:
        path.chmod(0o700)


def _is_damage(error: Exception) -> bool:
    from routekit.builtin.caches.partition import is_damage

    return is_damage(error)


def _make(options: DiskCacheOptions, context: PluginContext) -> DiskCache:
    return DiskCache(context.home / "cache", clock=context.clock, **options.model_dump())


PLUGIN = CachePlugin(
    name="disk",
    factory=_make,
    options=DiskCacheOptions,
    summary="Exact answers on this machine's disk, shared by its processes; authenticated, never unpickled.",
)
