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
import random
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import Field

from routekit.builtin.caches.disk.partitions import OPEN, PartitionFile
from routekit.builtin.databases import identity_of
from routekit.plugin import (
    Cache,
    CachePlugin,
    CacheStats,
    Options,
    PluginContext,
    decode_entry,
    encode_entry,
)
from routekit.types import CacheEntry, CacheKey, Clock, SystemClock

if TYPE_CHECKING:
    from routekit.builtin.caches.disk.partition import Partition

try:
    import fcntl
except ImportError:  # Windows: two processes that open a new partition at once may lose its entries
    fcntl = None  # type: ignore[assignment]  # Windows has none

T = TypeVar("T")
_log = logging.getLogger("routekit.cache")

MAC_BYTES = 32
LOCK_FILE = "lock"
WAIT_S = 1.0
"""How long other programs, and other threads, are waited for."""

_PARTITION = re.compile(r"[0-9a-f]{32}")
_OLD = re.compile(r"[0-9a-f]{32}\.old-[0-9a-f]{8}")


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

    def get(self, key: CacheKey) -> CacheEntry | None:
        name = _partition_name(key.namespace)
        found = self._with(name, lambda partition: (partition.get(key.digest), partition.secret))
        if found is None or found[0] is None:
            return None
        sealed, secret = found
        payload = sealed[MAC_BYTES:]
        if not hmac.compare_digest(sealed[:MAC_BYTES], _mac(secret, name, key.digest, payload)):
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
            sealed = _mac(partition.secret, name, key.digest, payload) + payload
            return bool(partition.set(key.digest, sealed, expire=lives_s))

        if self._with(name, store) is None:
            self._with(name, store)  # the partition was damaged and is new now
        return None

    def delete(self, key: CacheKey) -> None:
        self._with(_partition_name(key.namespace), lambda partition: partition.delete(key.digest))

    def clear(self, namespace: str | None = None) -> None:
        wanted = None if namespace is None else _partition_name(namespace)
        if wanted is not None:
            self._with(wanted, lambda partition: partition.clear())
        if self.directory.exists():
            for path in self.directory.iterdir():
                if wanted is None and _PARTITION.fullmatch(path.name):
                    self._with(path.name, lambda partition: partition.clear())
                elif _OLD.fullmatch(path.name) and wanted in (None, path.name[:32]) and not path.is_symlink():
                    shutil.rmtree(path, ignore_errors=True)  # a process died while it threw this one away

    def close(self) -> None:
        OPEN.shut_under(self.directory)

    def _with(self, name: str, use: Callable[[Partition], T]) -> T | None:
        """What `use` makes of the partition, or None where it turned out to be damaged.

        Raises:
            OSError, sqlite3.Error: the disk or the machine cannot be used now; nothing is thrown away for that.
        """
        from routekit.builtin.caches.disk.partition import is_busy, is_damage  # imports diskcache and sqlite3

        deadline = time.monotonic() + WAIT_S
        while True:
            file = OPEN.at(self.directory / name, int(self.options.size_limit_mb * 1024 * 1024))
            with file.taken(WAIT_S):
                if file.has_moved():  # another program began it again
                    file.shut()
                try:
                    return use(self._opened(file))
                except Exception as error:
                    if not is_busy(error):
                        self._failed(file, error, is_damage(error))
                        return None
                    if time.monotonic() >= deadline:
                        raise
            time.sleep(random.uniform(0.0001, 0.003))

    def _opened(self, file: PartitionFile) -> Partition:
        """What is open, or is opened now. Only one process at a time opens partitions, or begins them again."""
        if file.is_open:
            return file.opened()
        with self._alone():
            path = file.folder
            if path.is_symlink() or (path.exists() and not path.is_dir()):
                self._discard(path)
            _own_directory(path)
            return file.opened()

    def _failed(self, file: PartitionFile, error: Exception, damaged: bool) -> None:
        """Throws a damaged partition away, unless it has been begun again already; raises any other error."""
        known = file.identity if file.is_open else None
        moved = file.has_moved()
        with contextlib.suppress(Exception):
            file.shut()
        if moved:
            return
        if not damaged:
            raise error
        _log.warning("cache partition %s is damaged (%s) and begun again", file.folder.name, type(error).__name__)
        with self._alone():
            if known is None or known == identity_of(file.file):
                self._discard(file.folder)

    def _discard(self, path: Path) -> None:
        """Moves the partition out of the way, then deletes it. Links are removed, never followed."""
        if path.is_symlink() or path.is_file():
            path.unlink()
        elif path.exists():
            old = path.with_name(f"{path.name[:32]}.old-{secrets.token_hex(4)}")
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


def _mac(secret: bytes, name: str, digest: str, payload: bytes) -> bytes:
    """Over the place as well as the value: an entry that was moved or copied elsewhere is a miss."""
    place = f"routekit cache 1\0{name}\0{digest}\0".encode()
    return hmac.digest(secret, place + payload, "sha256")


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


def _make(options: DiskCacheOptions, context: PluginContext) -> DiskCache:
    return DiskCache(context.home / "cache", clock=context.clock, **options.model_dump())


PLUGIN = CachePlugin(
    name="disk",
    factory=_make,
    options=DiskCacheOptions,
    summary="Exact answers on this machine's disk, shared by its processes; authenticated, never unpickled.",
)
