"""Limits and ejections on Redis, kept together by all machines. Where the server fails, nothing here raises."""

from __future__ import annotations

import hashlib
import logging
import math
import os
import queue
import threading
import time
from collections.abc import Mapping
from typing import Any

from redis.exceptions import NoScriptError

from routekit.plugin import SharedState
from routekit.plugin.shared import Heard
from routekit.types import Limits
from routekit_redis import sharing
from routekit_redis.connection import check_url, connect
from routekit_redis.link import sha
from routekit_redis.options import RedisOptions
from routekit_redis.sentences import typed

LISTEN_S = 0.5
"""How often ejections of others are looked for, and what did not get through is tried again."""

SLOT_S = 60.0
"""How long a call counts as under way that nobody renews: its process is dead."""

RENEW_S = 20.0
LONGEST_S = 3600.0
"""How long a call is renewed that is never given back."""

LONGEST_HEARD_S = 600.0
"""No ejection that others tell of lasts longer here: one wrong machine must not take a deployment from all."""

MOST = 10_000
_TOLD = {
    "concurrency": "as many calls are under way on all machines as its limit allows",
    "rpm": "its limit of {rpm} requests per minute is used up on all machines",
    "tpm": "its limit of {tpm} tokens per minute is used up on all machines",
}
_log = logging.getLogger("routekit.redis")


Job = tuple[str, str, Any]
"""("give", place, call) or ("eject", place, (until, by the monotonic clock, and why; None: it is back))."""


class RedisShared(SharedState):
    """One thread listens, renews and sends what may not wait; `take` alone waits for the server."""

    def __init__(self, options: RedisOptions | None = None, *, env: Mapping[str, str] | None = None) -> None:
        self.options = options or RedisOptions()
        check_url(self.options)
        self._env = env or {}
        self._me = os.urandom(8).hex()
        self._client: Any = None
        self._heard: Heard | None = None
        self._told: dict[str, float] = {}
        self._odd: set[str] = set()
        self._failing = False
        self._begin()

    def _begin(self) -> None:
        """With no thread, as a forked child does too: calls under way are its parent's."""
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._work: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._slots: dict[tuple[str, str], float] = {}

    def start(self, heard: Heard) -> None:
        self._heard = heard
        self._started()

    def take(self, place: str, call: str, tokens: int, limits: Limits) -> str | None:
        wanted = [-1 if limit is None else limit for limit in (limits.rpm, limits.tpm, limits.concurrency)]
        if limits.concurrency is not None:
            self._started()
            self._slots[place, call] = time.monotonic()  # renewed also where the answer does not arrive
        try:
            answer = self._run(sharing.TAKE, self._keys(place), call, max(0, tokens), *wanted, SLOT_S)
        except Exception as error:  # not all of redis-py's errors are a RedisError
            self._failed(error)
            return None
        self._failing = False
        why = _TOLD.get(answer.decode())
        if why is None:
            return None
        self._slots.pop((place, call), None)
        return why.format(rpm=limits.rpm, tpm=limits.tpm)

    def give_back(self, place: str, call: str) -> None:
        self._slots.pop((place, call), None)
        self._later(("give", place, call))

    def eject(self, place: str, until: float, reason: str) -> None:
        if until > time.time():
            self._later(("eject", place, (time.monotonic() + until - time.time(), reason)))

    def readmit(self, place: str) -> None:
        self._later(("eject", place, None))

    def close(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None and self._pid == os.getpid():
            self._work.put(None)
            thread.join(2.0)
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    @property
    def _ejections(self) -> str:
        return f"{{routekit:{self.options.name}}}:ejected"

    def _keys(self, place: str) -> list[str]:
        """A hash tag per place: on a cluster, places spread over its slots."""
        digest = hashlib.sha256(place.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        tag = f"{{routekit:{self.options.name}:{digest}}}"
        return [f"{tag}:minute", f"{tag}:tokens", f"{tag}:calls"]

    def _connected(self) -> Any:
        client = self._client
        if client is None:
            fresh = connect(self.options, self._env)  # outside the lock: a cluster is asked where its slots are
            with self._lock:
                if self._client is None:
                    self._client = fresh
                client = self._client
        return client

    def _run(self, script: str, keys: list[str], *arguments: Any) -> Any:
        client = self._connected()
        try:
            return client.evalsha(sha(script), len(keys), *keys, *arguments)
        except NoScriptError:
            return client.eval(script, len(keys), *keys, *arguments)

    def _later(self, job: Job) -> None:
        self._started()
        self._work.put(job)

    def _started(self) -> None:
        if self._thread is not None and self._thread.is_alive() and self._pid == os.getpid():
            return
        if self._pid != os.getpid():
            self._begin()
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                thread = threading.Thread(target=self._worked, args=(self._work,), name="routekit-redis", daemon=True)
                try:
                    thread.start()
                except RuntimeError:  # the interpreter is ending; leases of slots end by themselves
                    return
                self._thread = thread

    def _worked(self, work: queue.SimpleQueue[Job | None]) -> None:
        """What does not get through is kept and tried again; nothing ends this thread but `close`."""
        gives: dict[tuple[str, str], None] = {}
        ejections: dict[str, tuple[float, str] | None] = {}
        listened = renewed = time.monotonic()
        pause = 0.0
        ending = False
        while not ending:
            try:
                wait_s = max(pause, LISTEN_S - (time.monotonic() - listened))
                job = work.get(timeout=max(0.001, wait_s) if not (gives or ejections) or pause else 0.001)
                while True:
                    if job is None:
                        ending = True
                        break
                    kind, place, more = job
                    if kind == "give":
                        gives[place, more] = None
                    else:
                        ejections[place] = more
                    job = work.get_nowait()
            except queue.Empty:
                pass
            try:
                self._send(gives, ejections)
                if time.monotonic() - listened >= LISTEN_S:
                    listened = time.monotonic()
                    self._listen()
                if time.monotonic() - renewed >= RENEW_S:
                    renewed = time.monotonic()
                    self._renew()
                pause = 0.0
            except Exception as error:
                pause = LISTEN_S
                self._failed(error)
        if gives or ejections:
            _log.warning("what was to be shared was not: the Redis server fails; leases of slots decide")

    def _send(self, gives: dict[tuple[str, str], None], ejections: dict[str, tuple[float, str] | None]) -> None:
        for place, call in list(gives):
            self._connected().zrem(self._keys(place)[2], call)
            gives.pop((place, call), None)
        for place, said in list(ejections.items()):
            if said is None:
                self._connected().hdel(self._ejections, place)
            else:
                left_s = said[0] - time.monotonic()
                if left_s > 0:
                    self._run(sharing.EJECT, [self._ejections], place, f"{left_s:.3f}", self._me, said[1])
            ejections.pop(place, None)

    def _renew(self) -> None:
        """The server's leases of calls that are still under way here."""
        now = time.monotonic()
        calls: dict[str, list[str]] = {}
        for (place, call), since in list(self._slots.items()):
            if now - since > LONGEST_S:
                self._slots.pop((place, call), None)
            else:
                calls.setdefault(place, []).append(call)
        for place, found in calls.items():
            for start in range(0, len(found), 500):
                self._run(sharing.RENEW, [self._keys(place)[2]], SLOT_S, *found[start : start + 500])

    def _listen(self) -> None:
        """Tells about ejections of others that were not told yet. Their ends are times of the server's clock."""
        if self._heard is None:
            return
        said, flat = self._run(sharing.LISTEN, [self._ejections])
        self._failing = False
        now = float(said)
        for raw_place, raw in zip(flat[::2], flat[1::2], strict=True):
            place = raw_place.decode("utf-8", "replace")
            until_text, who, reason = [*raw.decode("utf-8", "replace").split(" ", 2), "", ""][:3]
            until = _seconds(until_text)
            if until is None:  # a newer version's, or a person's
                if place not in self._odd:
                    _log.warning("the ejection of %r on the Redis server cannot be read and is left out", place[:200])
                if len(self._odd) < MOST:
                    self._odd.add(place)
                continue
            if until <= now or who == self._me or self._told.get(place, 0.0) >= until:
                continue
            if len(self._told) > MOST:
                self._told = {place: end for place, end in self._told.items() if end > now}
            self._told[place] = until
            try:
                self._heard(place, time.time() + min(until - now, LONGEST_HEARD_S), reason)
            except Exception:
                _log.exception("an ejection that was heard could not be told")

    def _failed(self, error: BaseException) -> None:
        if not self._failing:
            _log.warning("the shared state is left out: %s", str(typed(error)).partition("; budgets")[0])
        self._failing = True


def _seconds(text: str) -> float | None:
    """Seconds since 1970; None where it is no time."""
    try:
        found = float(text)
    except ValueError:
        return None
    return found if math.isfinite(found) else None
