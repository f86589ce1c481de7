"""Which partitions this process has open: the ones that were used last, each once, whoever uses it."""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING

from routekit.builtin.databases import Database
from routekit.plugin import secret_at

if TYPE_CHECKING:
    from routekit.builtin.caches.disk.partition import Partition

OPEN_MOST = 32
"""Partitions that are open at once; each takes three descriptors. The one that was used longest ago is closed."""

IDLE_S = 60.0
"""A partition that was not used for so long is closed when another one is used."""

KEY_FILE = "key"


class PartitionFile(Database["Partition"]):
    """One partition's database."""

    def __init__(self, folder: Path, size_limit: int) -> None:
        from routekit.builtin.caches.disk.partition import DATABASE  # imports diskcache and sqlite3

        super().__init__(folder / DATABASE)
        self.folder = folder
        self.size_limit = size_limit
        self.used_at = 0.0

    def make(self) -> Partition:
        from routekit.builtin.caches.disk.partition import open_partition

        secret = secret_at(self.folder.parent / KEY_FILE)
        return open_partition(self.folder, self.size_limit, secret)


class OpenPartitions:
    """The partitions of all caches of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._files: OrderedDict[str, PartitionFile] = OrderedDict()

    def at(self, folder: Path, size_limit: int) -> PartitionFile:
        """The partition in this folder, which is opened where it is needed. Closes others that nobody uses now."""
        name, now = os.fspath(folder), time.monotonic()
        with self._lock:
            found = self._files.get(name)
            if found is None:
                found = self._files[name] = PartitionFile(folder, size_limit)
            self._files.move_to_end(name)
            found.used_at = now
            idle = [file for file in self._files.values() if file.used_at < now - IDLE_S]
            idle += list(self._files.values())[: max(0, len(self._files) - OPEN_MOST)]
            self._shut(idle)
        return found

    def shut_under(self, directory: Path) -> None:
        """Closes the partitions of one cache; who still uses one opens it again."""
        with self._lock:
            self._shut([file for file in self._files.values() if file.folder.parent == directory])

    def _shut(self, files: list[PartitionFile]) -> None:
        for file in files:
            if file.take(0):
                try:
                    file.shut()
                    self._files.pop(os.fspath(file.folder), None)
                finally:
                    file.give_back()

    def forked(self) -> None:
        self._lock = threading.Lock()


OPEN = OpenPartitions()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=OPEN.forked)
