"""Step 5: cached answers, and one upstream call for many identical questions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from routekit.engine.cachekey import cache_key, may_cache
from routekit.engine.io import IO
from routekit.engine.notify import Notifier
from routekit.engine.run import Run, copied
from routekit.engine.settings import EngineSettings
from routekit.engine.singleflight import Flight, SingleFlight
from routekit.errors import CacheMissError, DeadlineExceededError
from routekit.plugin import Cache
from routekit.types import CacheEntry, CacheHit, CacheKey, Clock, PluginBypassed, RouteResult


class Caching:
    """The configured tiers, nearest first."""

    def __init__(
        self, caches: Sequence[tuple[str, Cache]], settings: EngineSettings, clock: Clock, notify: Notifier
    ) -> None:
        self._tiers = tuple(caches)
        self._settings = settings
        self._clock = clock
        self._notify = notify
        self._flights = SingleFlight()

    def key(self, run: Run, strategy: str) -> CacheKey | None:
        """The request's key, or None where nothing may be cached."""
        request = run.request
        if not self._tiers or not may_cache(request, nondeterministic=self._settings.cache_nondeterministic):
            if request.cache == "only":
                raise CacheMissError("cache='only' was asked for, but this request is not cached; see [cache]")
            return None
        scope = self._settings.cache_scope
        values = request.scopes.get(scope, ()) if scope else ()
        namespace = f"{scope}:{','.join(values)}" if values else "shared"
        try:
            key = cache_key(request, strategy, namespace)
        except (TypeError, ValueError, RecursionError) as error:
            if request.cache == "only":
                raise CacheMissError("cache='only' was asked for, but no key can be made of this request") from error
            run.notes.append(f"the cache was left out: no key can be made of this request ({type(error).__name__})")
            return None
        run.cache = "miss"
        return key

    async def lookup(self, io: IO, run: Run, key: CacheKey) -> tuple[str, CacheEntry] | None:
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
            if entry is None:
                continue
            for nearer, tier in self._tiers[:place]:
                try:
                    await io.set(tier, key, entry)
                except Exception as error:
                    self._bypassed(run, nearer, error)
            if self._notify:
                self._notify(CacheHit(request_id=run.id, at=self._clock.time(), saved=entry.cost, tier=name))
            return name, entry
        if run.request.cache == "only":
            raise CacheMissError("no cache has an answer to this request")
        return None

    def board(self, key: CacheKey) -> tuple[Flight, bool]:
        """See `SingleFlight.board`."""
        return self._flights.board(f"{key.namespace}/{key.digest}")

    def land(self, key: CacheKey, flight: Flight, entry: CacheEntry | None) -> None:
        """See `SingleFlight.land`."""
        self._flights.land(f"{key.namespace}/{key.digest}", flight, entry)

    async def follow(self, io: IO, run: Run, flight: Flight) -> CacheEntry | None:
        """What the leader found, within the follower's own deadline; None: try for yourself."""
        try:
            return await io.wait(flight, run.deadline.remaining_s())
        except TimeoutError:
            raise DeadlineExceededError(
                f"the deadline of {run.request.deadline_s} s was over while an identical request was being answered"
            ) from None

    async def store(
        self, io: IO, run: Run, key: CacheKey, result: RouteResult, deltas: tuple[dict[str, object], ...] = ()
    ) -> CacheEntry | None:
        """Stores a complete, valid answer; None where it is not one."""
        if result.finish_reason not in ("stop", "tool_calls") or result.message.get("refusal"):
            return None
        now = self._clock.time()
        ttl_s = self._settings.cache_ttl_s
        entry = CacheEntry(
            message=copied(result.message),
            finish_reason=result.finish_reason,
            usage=result.usage,
            cost=result.cost,
            model=result.model,
            deployment=result.deployment.name if result.deployment else "",
            created_at=now,
            expires_at=None if ttl_s is None else now + ttl_s,
            deltas=deltas,
        )
        for name, cache in self._tiers:
            try:
                await io.set(cache, key, entry)
            except Exception as error:
                self._bypassed(run, name, error)
        return entry

    def _bypassed(self, run: Run, name: str, error: Exception) -> None:
        run.notes.append(f"cache {name} failed and was left out ({type(error).__name__})")
        if self._notify:
            self._notify(
                PluginBypassed(
                    request_id=run.id, at=self._clock.time(), kind="cache", name=name, error=type(error).__name__
                )
            )

    @property
    def closers(self) -> tuple[Callable[[], None], ...]:
        return tuple(cache.close for _, cache in self._tiers)
