"""Step 5: cached answers, and one upstream call for many identical questions."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from routekit.engine.cache.embedding import Embedding
from routekit.engine.cache.key import cache_key, may_cache, may_store, namespace_of, tenant_secret
from routekit.engine.cache.semantic import Ask, Meaning, setting_of
from routekit.engine.cache.single_flight import Flight, SingleFlight
from routekit.engine.events import Notifier
from routekit.engine.history.copy import copied
from routekit.engine.io.port import IO
from routekit.engine.run import Run
from routekit.engine.settings import CARRIED_SCOPES, EngineSettings
from routekit.errors import CacheMissError, DeadlineExceededError, RoutekitError
from routekit.plugin import Cache, Once, SemanticCache
from routekit.types import CacheEntry, CacheHit, CacheKey, Clock, PluginBypassed, RouteResult

POLL_FIRST_S, POLL_MOST_S = 0.01, 0.25
"""How often a process looks whether another one has answered its question."""


SINGLE_FLIGHT = "single-flight"
"""The tier that an answer comes from which somebody else was just asking for."""

PACED_WAIT_S = 30.0
"""The longest wait for somebody else's stream, whose reader may take any time; or half of the time left, if less."""


class _TooSlowError(Exception):
    """Somebody reads the stream with this answer too slowly to be waited for."""


class Hit(NamedTuple):
    """An answer that is there already, and which tier had it."""

    tier: str
    entry: CacheEntry


class Lead:
    """The duty to answer a question that others may wait for; `land` ends it, on every path. Idempotent."""

    __slots__ = ("_flight", "_flights", "_name")

    def __init__(self, flights: SingleFlight | None = None, name: str = "", flight: Flight | None = None) -> None:
        self._flights, self._name, self._flight = flights, name, flight

    def land(self, entry: CacheEntry | None = None) -> None:
        """Hands the entry to those who wait; None: each tries for itself. Never waits."""
        if self._flights is not None and self._flight is not None:
            self._flights.land(self._name, self._flight, entry)


class Caching:
    """The configured tiers, nearest first. `secret` is asked for once, when the first key is made.

    `usable` says whether an entry, perhaps stored under other rules, is an answer here; else it is passed over.
    """

    def __init__(
        self,
        caches: Sequence[tuple[str, Cache]],
        settings: EngineSettings,
        clock: Clock,
        notify: Notifier,
        *,
        rng: random.Random,
        secret: Callable[[], bytes],
        embedding: Embedding,
        ask: Ask,
        home: Path | None = None,
        usable: Callable[[Run, CacheEntry], bool] | None = None,
    ) -> None:
        self._all = tuple(cache for _, cache in caches)
        self._tiers = tuple((name, cache) for name, cache in caches if not isinstance(cache, SemanticCache))
        by_meaning = [(name, cache) for name, cache in caches if isinstance(cache, SemanticCache)]
        self._meaning = Meaning(by_meaning, embedding=embedding, ask=ask, bypassed=self._bypassed)
        self._settings = settings
        self._clock = clock
        self._notify = notify
        self._rng = rng
        self._secret = Once(secret)
        self._tenant_secret = functools.lru_cache(maxsize=1024)(
            lambda namespace: tenant_secret(self._secret(), namespace)
        )
        shared = any(cache.shared for cache in self._all)
        self._flights = SingleFlight(home / "flights" if home is not None and shared else None)
        self._shared = shared
        self._own_kinds = tuple(kind for kind in settings.cache_scope if kind not in CARRIED_SCOPES)
        self._usable = usable

    @property
    def by_model(self) -> bool:
        """Whether a key needs to know the model that would be asked first."""
        return bool(self._all) and self._settings.cache_reuse == "model"

    def wanted(self, run: Run) -> bool:
        """Whether this request may have or leave an answer here.

        Raises:
            CacheMissError: it may not, and wants nothing else.
        """
        request = run.request
        if self._all and may_cache(request, nondeterministic=self._settings.cache_nondeterministic):
            absent = next((kind for kind in self._own_kinds if not request.scopes.get(kind)), None)
            if absent is None:
                return True
            # A kind of one's own may be a misspelt one: what would be everybody's answer then is nobody's.
            run.notes.append(f"the cache was left out: the call names no {absent!r}, which [cache] scope asks for")
        if request.cache == "only":
            raise CacheMissError("cache='only' was asked for, but this request is not cached; see [cache]")
        return False

    def key(self, run: Run, strategy: str, model: str | None = None) -> CacheKey | None:
        """The request's key, or None where none can be made. `model` is the one asked first, by `by_model`."""
        request, reuse = run.request, self._settings.cache_reuse
        asked: object = [request.group, request.model, strategy]
        if reuse == "group":
            asked = [request.group, request.model]
        elif reuse == "model":
            asked = [None, model]
        namespace = namespace_of(self._settings.cache_scope, request.scopes, request.cache_namespace)
        try:
            secret = self._tenant_secret(namespace)
            key = cache_key(request, asked, namespace, secret)
            if self._meaning.tiers:
                key = replace(key, setting=setting_of(request, asked, namespace, secret))
        except RoutekitError:
            raise
        except (TypeError, ValueError, RecursionError, OSError) as error:
            if request.cache == "only":
                raise CacheMissError("cache='only' was asked for, but no key can be made of this request") from error
            run.notes.append(f"the cache was left out: no key can be made of this request ({type(error).__name__})")
            return None
        run.cache = "miss"
        return key

    async def find(self, io: IO, run: Run, key: CacheKey) -> Hit | Lead:
        """A stored answer, that of somebody who is asking the same right now, or the duty to ask.

        Raises:
            CacheMissError: nothing is there, and nothing else is wanted.
            DeadlineExceededError: the time was over while somebody else was asking.
        """
        name = f"{key.namespace}/{key.digest}"
        while True:
            landings = self._flights.landings(name)
            found = await self._lookup(io, run, key)
            if found is not None:
                return found
            if run.request.cache == "only":
                if (meant := await self._meant(io, run, key)) is not None:
                    return meant
                raise CacheMissError("no cache has an answer to this request")
            flight, leads = self._flights.board(name, paced=run.request.stream)
            if not leads:
                if flight.led_here and not io.is_async:  # waiting would stop the very thread that leads it
                    return Lead()
                try:
                    entry = await self._follow(io, run, flight)
                except _TooSlowError:
                    return Lead()
                if entry is not None:
                    return Hit(SINGLE_FLIGHT, entry)
                continue  # the leader failed: perhaps this one leads the next flight
            lead = Lead(self._flights, name, flight)
            try:
                free = not self._shared or run.request.cache == "refresh" or await self._first(io, run, name)
                # Who looked before an answer was stored, and leads after its flight has landed, looks once more.
                if not free or self._flights.landings(name) != landings or self._flights.follows(name):
                    found = await self._lookup(io, run, key)
                if found is None and free:
                    found = await self._meant(io, run, key)
            except BaseException:
                lead.land()
                raise
            if found is None:
                return lead
            lead.land(found.entry)
            return found

    async def _first(self, io: IO, run: Run, name: str) -> bool:
        """Waits until no other process asks the same. True: none did."""
        if self._flights.alone(name):
            return True
        pause_s, began_s = POLL_FIRST_S, run.deadline.elapsed_s()
        while not self._flights.alone(name):
            left_s = run.deadline.remaining_s()
            if left_s is not None and left_s <= 0:
                raise self._too_late(run)
            waited_s = run.deadline.elapsed_s() - began_s
            if waited_s >= _patience_s(left_s, waited_s) and self._flights.paced_elsewhere(name):
                return True
            await io.sleep(pause_s if left_s is None else min(pause_s, left_s))
            pause_s = min(POLL_MOST_S, pause_s * 1.5)
        return False

    async def _lookup(self, io: IO, run: Run, key: CacheKey) -> Hit | None:
        """The nearest tier that has the answer; nearer ones are filled."""
        if run.request.cache == "refresh":
            return None
        for place, (name, cache) in enumerate(self._tiers):
            try:
                left_s = run.deadline.remaining_s()
                entry = await io.within(None if left_s is None else left_s / 2, io.get(cache, key))
            except Exception as error:
                self._bypassed(run, name, error)
                continue
            if entry is None or (self._usable is not None and not self._usable(run, entry)):
                continue
            for nearer, tier in self._tiers[:place]:
                try:
                    await io.set(tier, key, entry)
                except Exception as error:
                    self._bypassed(run, nearer, error)
            if self._notify:
                self._notify(CacheHit(request_id=run.id, at=self._clock.time(), saved=entry.cost, tier=name))
            return Hit(name, entry)
        return None

    async def _meant(self, io: IO, run: Run, key: CacheKey) -> Hit | None:
        """An answer to another question that means the same. Nearer tiers are not filled: there questions are equal."""
        if not self._meaning.tiers or run.request.cache == "refresh":
            return None
        found = await self._meaning.find(io, run, key)
        if found is None or (self._usable is not None and not self._usable(run, found[1])):
            return None
        name, entry = found
        if self._notify:
            self._notify(
                CacheHit(
                    request_id=run.id, at=self._clock.time(), saved=entry.cost, tier=name, similarity=entry.similarity
                )
            )
        return Hit(name, entry)

    async def _follow(self, io: IO, run: Run, flight: Flight) -> CacheEntry | None:
        """What the leader found, within the follower's own deadline; None: try for yourself."""
        left_s = run.deadline.remaining_s()
        try:
            return await io.wait(flight, _patience_s(left_s) if flight.paced else left_s)
        except TimeoutError:
            if flight.paced:
                raise _TooSlowError from None
            raise self._too_late(run) from None

    async def store(
        self, io: IO, run: Run, key: CacheKey, result: RouteResult, deltas: tuple[dict[str, object], ...] = ()
    ) -> CacheEntry | None:
        """Stores a complete, valid answer; None where it is not one."""
        request = run.request
        if not may_store(request, result, tool_calls=self._settings.cache_tool_calls):
            return None
        if self.by_model and result.deployment is not None:  # a fallback's answer is stored as its own model's
            own = self.key(run, "", result.deployment.model.id)
            key = key if own is None else own
        now = self._clock.time()
        ttl_s = self._settings.cache_ttl_s if request.cache_ttl_s is None else request.cache_ttl_s
        if ttl_s is not None:
            ttl_s *= 1 - self._settings.cache_jitter * self._rng.random()
        entry = CacheEntry(
            message=copied(result.message),
            finish_reason=result.finish_reason,
            usage=result.usage,
            cost=result.cost,
            model=result.model,
            deployment=result.deployment.name if result.deployment else "",
            created_at=now,
            expires_at=None if ttl_s is None else now + ttl_s + self._settings.cache_stale_s,
            fresh_until=None if ttl_s is None or not self._settings.cache_stale_s else now + ttl_s,
            deltas=deltas,
        )
        for name, cache in self._tiers:
            try:
                await io.set(cache, key, entry)
            except Exception as error:
                self._bypassed(run, name, error)
        await self._meaning.store(io, run, key, entry)
        return entry

    def _too_late(self, run: Run) -> DeadlineExceededError:
        return DeadlineExceededError(
            f"the deadline of {run.request.deadline_s} s was over while an identical request was being answered"
        )

    def _bypassed(self, run: Run, name: str, error: Exception) -> None:
        run.notes.append(f"cache {name} failed and was left out ({type(error).__name__})")
        if self._notify:
            self._notify(
                PluginBypassed(
                    request_id=run.id, at=self._clock.time(), kind="cache", name=name, error=type(error).__name__
                )
            )

    def is_stale(self, entry: CacheEntry) -> bool:
        """Whether an answer that is given should be made anew."""
        return entry.fresh_until is not None and entry.fresh_until <= self._clock.time()

    @property
    def closers(self) -> tuple[Callable[[], None], ...]:
        return tuple(cache.close for cache in self._all)


def _patience_s(left_s: float | None, waited_s: float = 0.0) -> float:
    return PACED_WAIT_S if left_s is None else min(PACED_WAIT_S, (left_s + waited_s) / 2)
