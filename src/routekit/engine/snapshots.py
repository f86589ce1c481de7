"""Health as other programs see it: a small file per router, so that ``routekit health`` can show a living service.

Written when a deployment's state changes and at most every few seconds besides, under a temporary name
that is then renamed: a reader never sees half a file. A file whose process is gone is removed by the next
reader. It holds names, states, counts and seconds; no message and no key.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from routekit.engine.health.health import HealthRow
from routekit.plugin import reset_after_fork

EVERY_S = 5.0
FOLDER = "health"
_numbers = itertools.count()


class Snapshots:
    """Writes one router's health to ``<home>/health``. Never raises: a full disk is no reason to fail a request.

    Timed by the machine's own clock, whatever clock the router has: it is for people.
    """

    def __init__(self, home: Path | None, rows: Callable[[], Sequence[HealthRow]]) -> None:
        self._folder = None if home is None else home / FOLDER
        self._rows = rows
        self._number = next(_numbers)
        self._lock = threading.Lock()
        self._due = 0.0
        self._dirty = False
        self._written: Path | None = None
        reset_after_fork(self)

    def after_fork(self) -> None:
        """The file is the parent's; the child writes one of its own."""
        self._lock = threading.Lock()
        self._due, self._written = 0.0, None

    def offer(self, *, changed: bool = False) -> None:
        """Writes if it is time to, or if something `changed`. Nearly free otherwise."""
        now = time.monotonic()
        if (now < self._due and not changed) or self._folder is None:
            return
        # Said before the lock is tried: whoever holds it may have read the rows before this change, and looks again.
        self._dirty = True
        while self._dirty and self._lock.acquire(blocking=False):
            try:
                self._dirty = False
                self._due = now + EVERY_S
                self._write(self._folder)
            except OSError:
                self._due = now + 12 * EVERY_S
            finally:
                self._lock.release()

    def close(self) -> None:
        """Removes the file: the router is no more."""
        self._folder = None
        with self._lock:  # who is writing just now has done so then
            written, self._written = self._written, None
        if written is not None:
            with contextlib.suppress(OSError):
                written.unlink()

    def _write(self, folder: Path | None) -> None:
        if folder is None:  # closed meanwhile
            return
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = folder / f"{os.getpid()}-{self._number}.json"
        rows = [{**row._asdict(), "latency": asdict(row.latency) if row.latency else None} for row in self._rows()]
        program = os.path.basename(sys.argv[0]) if sys.argv and sys.argv[0] else "python"
        data = {"pid": os.getpid(), "program": program, "at": time.time(), "rows": rows}
        partial = path.with_suffix(".part")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(data, file)
        os.replace(partial, path)
        self._written = path


def read_snapshots(home: Path) -> list[dict[str, Any]]:
    """What living processes wrote, the newest first. Files of dead processes are removed, broken ones left out."""
    found: list[dict[str, Any]] = []
    folder = home / FOLDER
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else ():
        pid = path.name.partition("-")[0]
        try:
            if not pid.isdigit() or not _alive(int(pid)):
                path.unlink()
                continue
            data = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(data, dict) and data.keys() >= {"pid", "program", "at", "rows"}:
            found.append(data)
    return sorted(found, key=lambda data: -data["at"])


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        return True
    return True
