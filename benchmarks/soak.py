"""Hours of mixed work on one router: do memory, file descriptors, tasks and threads stay flat?

``python -m benchmarks.soak --minutes N``. One `Router` with budgets in a ledger, memory and disk cache, threads and
tasks at once, streams half of which are abandoned, and an upstream in a process of its own that breaks 5 % of its
answers. A line every 10 s; exit code 1 where something grew after the warm-up, or a hold or a permit was left behind.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import random
import sqlite3
import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from benchmarks.breaking import control, upstreams
from benchmarks.faults import say
from benchmarks.subjects import config

LINE_S = 10.0
RSS_GROWTH = 0.10
"""Share by which memory may grow after the warm-up."""
SLACK = 3
"""Connections and helper threads come and go with the load; the median may move by so many."""
USERS, REPEATED = 10, 100
TASKS, THREADS = 6, 3
PAUSE_S = 0.05


class Sample(NamedTuple):
    """Medians of one line: resident memory in MiB, open file descriptors, asyncio tasks, threads."""

    rss_mb: float
    fds: float
    tasks: float
    threads: float


def sample() -> Sample:
    """This process, now. Reads /proc, so Linux only."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    rss_mb = pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    return Sample(
        rss_mb, len(os.listdir("/proc/self/fd")), len(asyncio.all_tasks()), len(os.listdir("/proc/self/task"))
    )


def grown(samples: list[Sample]) -> list[str]:
    """What is higher in the last third than in the first third of what came after the warm-up; the medians count."""
    third = max(1, len(samples) // 3)
    found = []
    for place, name in enumerate(Sample._fields):
        before = statistics.median(row[place] for row in samples[:third])
        after = statistics.median(row[place] for row in samples[-third:])
        limit = before * (1 + RSS_GROWTH) if name == "rss_mb" else before + SLACK
        if after > limit:
            found.append(f"{name} grew from {before:.1f} to {after:.1f}")
    return found


class Work:
    """What one worker does next: half of the calls are streams, a third ask what was asked before."""

    def __init__(self, router: Any, seed: int, counts: Counter[str]) -> None:
        self._router, self._rng, self._counts = router, random.Random(seed), counts

    def _next(self) -> tuple[str, dict[str, Any], int]:
        """A prompt, options, and after how many pieces to leave: 0 for no stream, -1 for a stream to its end."""
        draw = self._rng.random()
        prompt = f"asked {self._rng.randrange(REPEATED) if draw < 0.33 else self._rng.getrandbits(64)}"
        leave = self._rng.choice((0, 0, -1, 5))
        return prompt, {"scopes": {"user": f"u{self._rng.randrange(USERS)}"}, "max_tokens": 500}, leave

    def sync_once(self) -> None:
        prompt, options, leave = self._next()
        if not leave:
            self._router.complete(prompt, **options)
            return
        with self._router.stream(prompt, **options) as stream:
            for place, _ in enumerate(stream):
                if place == leave:
                    self._counts["abandoned"] += 1
                    return

    async def async_once(self) -> None:
        prompt, options, leave = self._next()
        if not leave:
            await self._router.acomplete(prompt, **options)
            return
        async with self._router.astream(prompt, **options) as stream:
            place = 0
            async for _ in stream:
                if place == leave:
                    self._counts["abandoned"] += 1
                    return
                place += 1

    def tell(self, error: Exception | None) -> None:
        self._counts["calls"] += 1
        if error is not None:
            self._counts[type(error).__name__] += 1


def in_thread(work: Work, over: Callable[[], bool]) -> None:
    while not over():
        try:
            work.sync_once()
            work.tell(None)
        except Exception as error:
            work.tell(error)
        time.sleep(PAUSE_S)


async def in_task(work: Work, over: Callable[[], bool]) -> None:
    while not over():
        try:
            await work.async_once()
            work.tell(None)
        except Exception as error:
            work.tell(error)
        await asyncio.sleep(PAUSE_S)


def holds_in(home: Path) -> int:
    """Rows of the ledger's table of holds: what is reserved and never settled, and what outlived its lease."""
    from routekit.builtin.budgets.ledger.budget import FILE

    with sqlite3.connect(f"file:{home / FILE}?mode=ro", uri=True) as database:
        return int(database.execute("SELECT COUNT(*) FROM holds").fetchone()[0])


def soaked(port: int, home: Path) -> Any:
    """The router: three deployments on one upstream, small caches that are full before the warm-up is over."""
    from routekit import Router

    table = config(
        port,
        deployments=3,
        router={"deadline_s": 5.0},
        budgets=[{"scope": "global", "limit_usd": 10_000}, {"scope": "user:*", "limit_usd": 1_000, "window": "day"}],
        cache={"use": ["memory", "disk"], "memory": {"max_entries": 200}, "disk": {"size_limit_mb": 2}},
    )
    return Router(table, env={"ROUTEKIT_PLUGINS": "", "ROUTEKIT_HOME": str(home)})


async def run(port: int, home: Path, minutes: float) -> list[str]:
    """The whole soak; what is wrong, in words."""
    router, counts = soaked(port, home), Counter[str]()
    control(port, "set/soak")
    end = time.monotonic() + minutes * 60
    warm_until = time.monotonic() + min(300.0, minutes * 60 / 3)

    def over() -> bool:
        return time.monotonic() >= end

    threads = [
        threading.Thread(target=in_thread, args=(Work(router, seed, counts), over)) for seed in range(THREADS)
    ]  # fmt: skip
    for thread in threads:
        thread.start()
    tasks = [asyncio.create_task(in_task(Work(router, 100 + seed, counts), over)) for seed in range(TASKS)]
    samples: list[Sample] = []
    began = time.monotonic()
    while not over():
        seconds: list[Sample] = []
        line_end = min(end, time.monotonic() + LINE_S)
        while time.monotonic() < line_end:
            await asyncio.sleep(min(1.0, max(0.0, line_end - time.monotonic())))
            seconds.append(sample())
        row = Sample(*(statistics.median(column) for column in zip(*seconds, strict=True)))
        warm = time.monotonic() > warm_until
        if warm:
            samples.append(row)
        say(f"{time.monotonic() - began:6.0f} s  {row.rss_mb:7.1f} MiB  {row.fds:4.0f} fds  {row.tasks:3.0f} tasks  "
            f"{row.threads:3.0f} threads  {counts['calls']:7d} calls{'' if warm else '  (warm-up)'}")  # fmt: skip
    await asyncio.gather(*tasks)
    for thread in threads:
        await asyncio.to_thread(thread.join)
    gc.collect()
    await asyncio.sleep(0.5)  # connections of abandoned streams close in the loop's next rounds
    wrong = grown(samples)
    permits = {row.deployment: row.in_flight for row in router.health() if row.in_flight}
    if permits:
        wrong.append(f"permits left: {permits}")
    if leftover := len(asyncio.all_tasks()) - 1:
        wrong.append(f"{leftover} tasks left")
    await router.aclose()
    if holds := holds_in(home):
        wrong.append(f"{holds} holds left")
    say(f"\nended: {', '.join(f'{count} {name}' for name, count in sorted(counts.items()))}")
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    minutes = parser.parse_args().minutes
    with TemporaryDirectory() as home, upstreams(1, minutes * 60 + 120) as ports:
        wrong = asyncio.run(run(ports[0], Path(home), minutes))
    say("\n".join(f"WRONG: {line}" for line in wrong) or "flat; no hold, permit or task left")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
