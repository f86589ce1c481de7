"""Limits and ejections on Redis, kept together by all machines. Where the server fails, nothing here raises."""

from __future__ import annotations

import hashlib
import logging
import math
import os
import queue
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import redis

from routekit.plugin import SharedState
from routekit.plugin.shared import Heard
from routekit.types import Limits
from routekit_redis import scripts
from routekit_redis.connection import check_url, connect
from routekit_redis.options import RedisOptions

LISTEN_S = 0.5
"""How often ejections of others are looked for."""

QUEUE_MOST = 10_000
_TOLD = {
    "concurrency": "as many calls are under way on all machines as its limit allows",
    "rpm": "its limit of {rpm} requests per minute is used up on all machines",
    "tpm": "its limit of {tpm} tokens per minute is used up on all machines",
}
_log = logging.getLogger("routekit.redis")


class RedisShared(SharedState):
    """One thread listens and sends what may not wait; `take` alone waits for the server."""

    def __init__(self, options: RedisOptions | None = None, *, env: Mapping[str, str] | None = None) -> None:
        self.options = options or RedisOptions()
        check_url(self.options)
        self._env = env or {}
        self._me = os.urandom(8).hex()
        self._lock = threading.Lock()
        self._client: Any = None
        self._pid = os.getpid()
        self._work: queue.Queue[Callable[[Any], object] | None] = queue.Queue(QUEUE_MOST)
        self._thread: threading.Thread | None = None
        self._heard: Heard | None = None
        self._told: dict[str, float] = {}
        self._odd: set[str] = set()
        self._failing = False

    def start(self, heard: Heard) -> None:
        self._heard = heard
        self._started()

    def take(self, place: str, call: str, tokens: int, limits: Limits) -> str | None:
        wanted = [-1 if limit is None else limit for limit in (limits.rpm, limits.tpm, limits.concurrency)]
        try:
            answer = self._connected().eval(scripts.TAKE, 3, *self._keys(place), call, max(0, tokens), *wanted)
        except (redis.RedisError, OSError) as error:
            self._failed(error)
            return None
        self._failing = False
        why = _TOLD.get(answer.decode())
        return None if why is None else why.format(rpm=limits.rpm, tpm=limits.tpm)

    def give_back(self, place: str, call: str) -> None:
        self._later(lambda client: client.zrem(self._keys(place)[2], call))

    def eject(self, place: str, until: float, reason: str) -> None:
        if until <= time.time():
            return
        self._told[place] = until
        key = self._ejections
        self._later(lambda client: client.eval(scripts.EJECT, 1, key, place, f"{until:.3f}", self._me, reason))

    def readmit(self, place: str) -> None:
        self._later(lambda client: client.hdel(self._ejections, place))

    def close(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None and self._pid == os.getpid():
            try:
                self._work.put_nowait(None)
            except queue.Full:
                _log.warning("what was to be shared is dropped")
            thread.join(2.0)
        with self._lock:
            if self._client is not None:
                self._client.close()
            self._client = None

    @property
    def _ejections(self) -> str:
        return f"{{routekit:{self.options.name}}}:ejected"

    def _keys(self, place: str) -> list[str]:
        """A hash tag per place: on a cluster, places spread over its slots."""
        digest = hashlib.sha256(place.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        tag = f"{{routekit:{self.options.name}:{digest}}}"
        return [f"{tag}:minute", f"{tag}:tokens", f"{tag}:calls"]

    def _connected(self) -> Any:
        with self._lock:
            if self._client is None:
                self._client = connect(self.options, self._env)
            return self._client

    def _later(self, work: Callable[[Any], object]) -> None:
        self._started()
        try:
            self._work.put_nowait(work)
        except queue.Full:
            _log.warning("what was to be shared is dropped: the server is too slow")

    def _started(self) -> None:
        if self._thread is not None and self._thread.is_alive() and self._pid == os.getpid():
            return
        with self._lock:
            if (
                self._thread is None or not self._thread.is_alive() or self._pid != os.getpid()
            ):  # a forked child has no thread of its own
                if self._pid != os.getpid():
                    self._work, self._pid = queue.Queue(QUEUE_MOST), os.getpid()
                self._thread = threading.Thread(target=self._run, name="routekit-redis", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        work, listened = self._work, 0.0
        while True:
            try:
                job = work.get(timeout=max(0.0, LISTEN_S - (time.monotonic() - listened)))
                if job is None:
                    return
                job(self._connected())
            except queue.Empty:
                listened = time.monotonic()
                self._listen()
            except (redis.RedisError, OSError) as error:
                self._failed(error)
            except Exception:  # one job that fails must not end the thread that gives back everybody's places
                _log.exception("something could not be shared")
            if time.monotonic() - listened >= LISTEN_S:
                listened = time.monotonic()
                self._listen()

    def _listen(self) -> None:
        """Tells about ejections of others that were not told yet."""
        if self._heard is None:
            return
        try:
            found = self._connected().hgetall(self._ejections)
        except Exception as error:
            self._failed(error)
            return
        self._failing = False
        now = time.time()
        for raw_place, raw in found.items():
            place = raw_place.decode("utf-8", "replace")
            until_text, who, reason = [*raw.decode("utf-8", "replace").split(" ", 2), "", ""][:3]
            until = _seconds(until_text)
            if until is None:  # a newer version's, or a person's
                if place not in self._odd:
                    _log.warning("the ejection of %r on the Redis server cannot be read and is left out", place[:200])
                if len(self._odd) < QUEUE_MOST:
                    self._odd.add(place)
                continue
            if until <= now or who == self._me or self._told.get(place, 0.0) >= until:
                continue
            self._told[place] = until
            try:
                self._heard(place, until, reason)
            except Exception:
                _log.exception("an ejection that was heard could not be told")

    def _failed(self, error: BaseException) -> None:
        if not self._failing:
            _log.warning("the shared state is left out: the Redis server failed (%s)", type(error).__name__)
        self._failing = True


def _seconds(text: str) -> float | None:
    """Seconds since 1970; None where it is no time."""
    try:
        found = float(text)
    except ValueError:
        return None
    return found if math.isfinite(found) else None
