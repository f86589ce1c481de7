"""The way of one request, written once for sync and async. Reads like section 5 of the architecture."""

from __future__ import annotations

import functools
import logging
import os
import random
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from routekit.engine.attempts.answer_checks import AnswerPolicy, fault_of
from routekit.engine.attempts.incoming import choices_wanted
from routekit.engine.attempts.review import Review
from routekit.engine.attempts.runner import Asking
from routekit.engine.attempts.sequence import Chain
from routekit.engine.attempts.side_calls import SideCalls
from routekit.engine.budget.reservations import Billing
from routekit.engine.budget.savings import baseline_of
from routekit.engine.cache.embedding import EmbedderOf, Embedding, no_embedder
from routekit.engine.cache.lookup import SINGLE_FLIGHT, Caching, Hit, Lead
from routekit.engine.cache.revalidate import Revalidating
from routekit.engine.compress.pipeline import Compressing
from routekit.engine.embeddings import EmbeddersOf, Vectors
from routekit.engine.events import Notifier
from routekit.engine.health.health import ELSEWHERE, Health
from routekit.engine.health.probes import Probes
from routekit.engine.health.queue import WaitingRoom
from routekit.engine.health.shared import Shared, told
from routekit.engine.history.assemble import chunks_of
from routekit.engine.history.copy import copied
from routekit.engine.history.partial import partial_of
from routekit.engine.in_flight import Traffic
from routekit.engine.io.port import IO
from routekit.engine.plan.decide import Deciding
from routekit.engine.plan.declined import Declined
from routekit.engine.plan.planner import Pool
from routekit.engine.plan.prompt_cache import PrefixMemory
from routekit.engine.plan.scoring import Scoring
from routekit.engine.result import final_decision, result_from_cache, result_of
from routekit.engine.run import Run
from routekit.engine.settings import CompressionRule, EngineSettings
from routekit.engine.snapshots import Snapshots
from routekit.engine.stream.guards import GuardedStream, Guarding, masked, without_text
from routekit.engine.stream.live import LiveStream, RunningStream
from routekit.engine.stream.replay import ReplayStream
from routekit.errors import BudgetExceededError, InvalidInputError, NoCandidateError, RoutekitError
from routekit.plugin import Budget, Cache, Compressor, Guard, Observer, Provider, Scorer, SharedState, Strategy, reaper
from routekit.types import (
    Answer,
    BudgetScope,
    CacheEntry,
    CacheKey,
    Candidate,
    Clock,
    Deployment,
    EmbeddingResult,
    HealthChanged,
    RequestEnded,
    RequestStarted,
    RouteDecision,
    RouteRequest,
    RouteResult,
)

_log = logging.getLogger("routekit.engine")
T = TypeVar("T")
PoolOf = Callable[[RouteRequest], Pool]


class Engine:
    """The routing brain. Knows contracts, never a concrete plugin.

    One engine serves threads, tasks and event loops at once. `pool_of` finds the deployments that a
    request's group or model means, `provider_of` the provider of a deployment. Processes with the same
    `home` share what must happen once on a machine.
    """

    def __init__(
        self,
        *,
        deployments: Sequence[Deployment],
        provider_of: Callable[[Deployment], Provider],
        pool_of: PoolOf,
        clock: Clock,
        settings: EngineSettings,
        caches: Sequence[tuple[str, Cache]] = (),
        compressors: Sequence[tuple[str, Compressor, CompressionRule]] = (),
        budget: Budget | None = None,
        scopes: Sequence[BudgetScope] = (),
        guards: Sequence[tuple[str, Guard]] = (),
        observers: Sequence[Observer] = (),
        scorer: tuple[str, Scorer] | None = None,
        rng: random.Random | None = None,
        home: Path | None = None,
        shared: SharedState | None = None,
        cache_secret: Callable[[], bytes] | None = None,
        answers: AnswerPolicy | None = None,
        embedder_of: EmbedderOf = no_embedder,
        embedders_of: EmbeddersOf | None = None,
    ) -> None:
        rng = rng or random.Random()
        self._clock = clock
        self._shared = shared
        self._pool_of = pool_of
        self._answers = answers or AnswerPolicy()
        self._baseline = next((d for d in deployments if d.name == settings.baseline), None)
        self.traffic = self._traffic = Traffic()
        self._deployments = {deployment.name: deployment for deployment in deployments}
        self._notify = notify = Notifier(observers)
        prefixes = PrefixMemory(clock)

        # A function of its own: closing keeps hold of health, and through it may not keep the engine.
        def changed(deployment: Deployment, state: str, reason: str) -> None:
            snapshots.offer(changed=True)
            if not reason.startswith(ELSEWHERE):
                told(shared, deployment, health.ends_at(deployment.name) if state == "open" else None, reason)
            if notify:
                notify(HealthChanged(request_id="", at=clock.time(), deployment=deployment, state=state, reason=reason))

        self.health = health = Health(deployments, clock, rng, changed, probes=Probes(home))
        self._snapshots = snapshots = Snapshots(home, health.rows)
        self._billing = billing = Billing(budget, scopes, settings, clock, notify)
        self._embedding = Embedding(
            provider_of=provider_of, embedder_of=embedder_of, billing=billing, clock=clock, notify=notify
        )
        self._revalidating = Revalidating(self.complete, clock)
        self._waiting_room = WaitingRoom(health, settings.queue)
        declined = Declined(clock)
        self._guards = Guarding(guards)
        self._deciding = Deciding(
            health=health, billing=billing,
            prefixes=prefixes, clock=clock, rng=rng, notify=notify,
            wait_for_recovery_s=settings.wait_for_recovery_s, provider_of=provider_of, declined=declined,
            scoring=Scoring(scorer) if scorer else None,
        )  # fmt: skip
        self._asking = Asking(
            provider_of=provider_of, health=health, billing=billing, prefixes=prefixes,
            settings=settings, clock=clock, rng=rng, notify=notify, answers=answers,
            queue=self._waiting_room, shared=Shared(shared, health), declined=declined,
        )  # fmt: skip
        side_calls = SideCalls(self._deciding, self._asking, pool_of, clock)
        self._review = Review(self._asking, side_calls, clock, notify)
        self._caching = Caching(
            caches,
            settings,
            clock,
            notify,
            rng=rng,
            secret=cache_secret or functools.partial(os.urandom, 32),
            embedding=self._embedding,
            ask=functools.partial(side_calls.ask_cheapest, role="verifier"),
            home=home,
            usable=self._usable if answers is not None and answers.checks else None,
        )
        self._compressing = Compressing(
            compressors, prefixes=prefixes, clock=clock, notify=notify, ask=side_calls.ask_cheapest
        )
        self._vectors = Vectors(
            provider_of=provider_of, embedders_of=embedders_of or (lambda name: [embedder_of(name)]),
            deciding=self._deciding, asking=self._asking, billing=billing, health=health, embedding=self._embedding,
        )  # fmt: skip

    async def complete(self, io: IO, request: RouteRequest, strategy: Strategy) -> RouteResult:
        """A whole answer.

        Raises:
            RoutingError: nobody could answer; or the ProviderError that must be surfaced.
        """
        run = self._start(request)
        with self._traffic:
            try:
                await self._admit(io, run)
                result = await self._complete(io, run, strategy)
            except BaseException as error:
                reaper.end(error, functools.partial(self._end, run, error=error))
                raise
            self._end(run, result=result)
            return result

    async def open(self, io: IO, request: RouteRequest, strategy: Strategy) -> RunningStream:
        """A stream that has shown its first content: everything before that fell back unseen.

        Where answers are looked at before they count (a cascade, a guard on responses), the answer is
        made whole first and then replayed.
        """
        run = self._start(request)
        with self._traffic:
            try:
                if (count := choices_wanted(request)) > 1:
                    raise InvalidInputError(
                        f"n={count} answers cannot be streamed; call complete() or acomplete(), whose result.choices "
                        "has all of them, or leave n out"
                    )
                await self._admit(io, run)
                if strategy.reviews or self._guards.needs_whole(run):
                    result = await self._complete(io, run, strategy)
                    self._end(run, result=result)
                    return ReplayStream.of_result(result)
                return await self._open(io, run, strategy)
            except BaseException as error:
                reaper.end(error, functools.partial(self._end, run, error=error))
                raise

    async def explain(self, io: IO, request: RouteRequest, strategy: Strategy) -> RouteDecision:
        """The decision that `complete` would make now. Nobody is called, nothing is held.

        Raises:
            RoutingError: what `complete` would raise before it asks: nobody may serve it, a budget refuses it.
        """
        run = Run(request, self._clock)
        await self._guards.request(io, run)
        pool = self._pool_of(run.request)
        await self._compressing.compress(io, run, pool, ask=False)
        decision = await self._deciding.decide(io, run, strategy, pool, wait=False)
        self._billing.refuse_if_used_up(run, decision.ranked[0].candidate)
        return final_decision(run)

    async def _complete(self, io: IO, run: Run, strategy: Strategy) -> RouteResult:
        key = await self._key(io, run, strategy)
        if key is None:
            return await self._guards.result(io, run, await self._fresh(io, run, strategy))
        found = await self._caching.find(io, run, key)
        if isinstance(found, Hit):
            return await self._guards.result(io, run, self._cached(run, found, strategy))
        shared: CacheEntry | None = None
        try:
            result = await self._fresh(io, run, strategy)
            # What the upstream said, not what a guard makes of it for this caller: each reader's guards look anew.
            shared = await self._caching.store(io, run, key, result)
        finally:
            found.land(shared)
        return await self._guards.result(io, run, result)

    async def _open(self, io: IO, run: Run, strategy: Strategy) -> RunningStream:
        key = await self._key(io, run, strategy)
        found: Hit | Lead = Lead() if key is None else await self._caching.find(io, run, key)
        if isinstance(found, Hit):
            cached = self._cached(run, found, strategy)
            result = await self._guards.result(io, run, cached)
            self._end(run, result=result)
            same = result.message is cached.message
            return ReplayStream(chunks_of(found.entry), result) if same else ReplayStream.of_result(result)
        lead = found

        async def keep(result: RouteResult, deltas: tuple[dict[str, Any], ...] | None) -> None:
            shared: CacheEntry | None = None
            try:
                if key is not None and deltas is not None:
                    shared = await self._caching.store(io, run, key, result, deltas)
                self._learn(run, strategy)
            finally:
                lead.land(shared)
                self._end(run, result=result)

        def failed(error: BaseException) -> None:
            lead.land()
            self._end(run, error=error)

        try:
            opened = await self._asked(io, run, strategy, lambda chain: self._asking.open(io, run, chain))
            live = LiveStream(io, run, opened, self._asking, keep, failed, self._traffic)
            return GuardedStream(live, run) if run.sessions else live
        except BaseException:
            lead.land()
            raise

    async def _key(self, io: IO, run: Run, strategy: Strategy) -> CacheKey | None:
        """The request's place in the caches, or None where it has none."""
        if not self._caching.wanted(run):
            return None
        model = None
        if self._caching.by_model:
            decision = await self._deciding.decide(io, run, strategy, self._pool_of(run.request), wait=False)
            model = decision.chosen.model.id
        return self._caching.key(run, repr(strategy), model)

    async def drain(self, io: IO, wait_s: float) -> None:
        """Waits until nothing is under way, at most so many seconds, then ends what is left.

        Streams that the caller itself holds are ended at once.
        """
        self._traffic.cut(io.me())
        try:
            await io.wait(self._traffic.quiet(), wait_s)
        except TimeoutError:
            _log.warning("closing did not wait longer than %g s for the requests under way", wait_s)
        finally:
            self._traffic.cut()

    async def _fresh(self, io: IO, run: Run, strategy: Strategy) -> RouteResult:
        """Steps 6 to 12: asks somebody."""
        answered = await self._asked(io, run, strategy, lambda chain: self._review.accepted(io, run, strategy, chain))
        answer, deployment = answered.answer, answered.permit.candidate.deployment
        self._learn(run, strategy)
        return result_of(
            run,
            answer.message, answer.finish_reason, answered.usage, deployment, answer.model,
            logprobs=answer.logprobs, others=answer.others,
        )  # fmt: skip

    async def _asked(self, io: IO, run: Run, strategy: Strategy, ask: Callable[[Chain], Awaitable[T]]) -> T:
        """What `ask` makes of the decision. Where everybody is at a limit, after a wait in the queue."""
        pool = self._pool_of(run.request)
        await self._compressing.compress(io, run, pool)
        try:
            while True:
                try:
                    decision = await self._deciding.decide(io, run, strategy, pool)
                    return await ask(Chain(decision, logprobs=strategy.wants_logprobs))
                except NoCandidateError as error:
                    if not await self._waiting_room.wait(io, run, error, self._deciding.input_tokens(run)):
                        raise
        finally:
            if run.ticket is not None:
                self._waiting_room.leave(run)

    async def embed(self, io: IO, request: RouteRequest, name: str | None, *, single: bool) -> EmbeddingResult:
        """The vectors of the request's messages: guarded, routed, held for and recorded like an answer.

        Raises:
            RoutingError: nobody could make them; or the ProviderError that must be surfaced.
        """
        run = self._start(request)
        with self._traffic:
            try:
                await self._admit(io, run)
                result = await self._vectors.embed(io, run, name, single=single, asked=len(request.messages))
            except BaseException as error:
                reaper.end(error, functools.partial(self._end, run, error=error))
                raise
            self._end(run, result=result)
            return result

    def original(self, handle: str) -> str | None:
        """The text that a compressor left a handle for."""
        return self._compressing.original(handle)

    def _usable(self, run: Run, entry: CacheEntry) -> bool:
        """Whether the user's own checks take an answer from a cache for one, as they would if it was made now."""
        answer = Answer(message=copied(entry.message), finish_reason=entry.finish_reason, model=entry.model)
        return fault_of(run.request, answer, entry.usage, self._answers, run.notes) is None

    def _cached(self, run: Run, hit: Hit, strategy: Strategy) -> RouteResult:
        if hit.tier != SINGLE_FLIGHT and self._caching.is_stale(hit.entry) and run.request.cache != "only":
            run.notes.append("the answer is older than its time; a new one is being made")
            self._revalidating.start(run.request, strategy)
        return result_from_cache(run, hit.entry, self._deployments.get(hit.entry.deployment), hit.tier, strategy.name)

    def _learn(self, run: Run, strategy: Strategy) -> None:
        if type(strategy).learn is not Strategy.learn and run.decision is not None:
            try:
                strategy.learn(run.request, run.decision, run.attempts)
            except Exception as error:
                run.notes.append(f"strategy {strategy.name} could not learn from it ({type(error).__name__})")

    def _start(self, request: RouteRequest) -> Run:
        run = Run(request, self._clock)
        run.baseline = self._baseline_of
        return run

    async def _admit(self, io: IO, run: Run) -> None:
        """Guards first: who looks on sees the request as they left it, and none of the text where they refused it."""
        refused = True
        try:
            await self._guards.request(io, run)
            refused = False
        finally:
            if refused:
                without_text(run)
            if self._notify:
                self._notify(RequestStarted(request_id=run.id, at=self._clock.time(), request=run.request))

    def _end(
        self, run: Run, *, result: RouteResult | EmbeddingResult | None = None, error: BaseException | None = None
    ) -> None:
        self._snapshots.offer()
        if isinstance(error, BudgetExceededError):
            error.partial = partial_of(run.request.messages)
        if self._notify:
            if run.sessions and isinstance(result, RouteResult):
                result = masked(run, result)
            self._notify(
                RequestEnded(
                    request_id=run.id, at=self._clock.time(), result=result, error=error, request=run.request,
                    attempts=tuple(run.attempts), decision=run.decision, duration_s=run.deadline.elapsed_s(),
                )
            )  # fmt: skip

    def _baseline_of(self, run: Run) -> Deployment | None:
        """Whom this request is compared with: the best that would do, or where nobody was ranked, of its pool."""
        candidates: Sequence[Candidate] = run.decision.ranked.candidates if run.decision is not None else ()
        if self._baseline is None and not candidates:
            try:
                pool = self._pool_of(run.request)
            except RoutekitError:
                return None
            candidates = pool.everyone()
        return baseline_of(self._baseline, candidates)

    @property
    def closers(self) -> tuple[Callable[[], None], ...]:
        """What frees caches, budgets and observers, in order. None of it refers to the engine or the router."""
        shared = () if self._shared is None else (self._shared.close,)
        return (*self._caching.closers, self._billing.close, *shared, *self._notify.closers, self._snapshots.close)
