"""From a request to a decision: planner, strategy."""

from __future__ import annotations

import dataclasses
import functools
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from routekit.engine.budget.reservations import Billing
from routekit.engine.events import Notifier
from routekit.engine.health.health import Health
from routekit.engine.io.port import IO
from routekit.engine.plan.declined import Declined
from routekit.engine.plan.estimate import work_of
from routekit.engine.plan.last_resort import Field, Panic, behind, names, told
from routekit.engine.plan.planner import Pool, doubtful_last, needed_capabilities, panics, plan
from routekit.engine.plan.prompt_cache import MIN_TOKENS, PrefixMemory
from routekit.engine.plan.scoring import Scoring, apply, explained
from routekit.engine.plan.setup import Setup
from routekit.engine.run import Run
from routekit.errors import NoCandidateError, RoutekitError
from routekit.plugin import Provider, Strategy
from routekit.types import (
    Candidate,
    Clock,
    Decided,
    Deployment,
    PluginBypassed,
    Ranking,
    Rejection,
    RejectionCode,
    RouteDecision,
    Signals,
    Work,
)
from routekit.types.empty import EMPTY


class Deciding:
    """Everything before the first upstream call.

    `wait_for_recovery_s` is the longest wait for an ejected deployment, where all are ejected.
    """

    def __init__(
        self,
        *,
        health: Health,
        billing: Billing,
        prefixes: PrefixMemory,
        clock: Clock,
        rng: random.Random,
        notify: Notifier,
        wait_for_recovery_s: float = 0.0,
        provider_of: Callable[[Deployment], Provider] | None = None,
        declined: Declined | None = None,
        scoring: Scoring | None = None,
    ) -> None:
        self._scoring = scoring
        self._declined = declined or Declined(clock)
        self._provider_of = provider_of
        self._setup = Setup(provider_of)
        self._panic = Panic(health, clock, wait_for_recovery_s)
        self._health = health
        self._billing = billing
        self._prefixes = prefixes
        self._clock = clock
        self._rng = rng
        self._notify = notify

    async def decide(self, io: IO, run: Run, strategy: Strategy, pool: Pool, *, wait: bool = True) -> RouteDecision:
        """Plans and ranks. Waits for a deployment's return where the module's text says so, and `wait` is set.

        Raises:
            NoCandidateError: nobody may serve the request; every rejection is listed.
            AllUnavailableError: those that could serve it are all ejected.
        """
        work = work_of(run.request, self._billing.output_limit(run.request))
        signals = self._signals(strategy, run, work.input_tokens)
        if self._scoring is not None:
            scores = self._scoring.scores(run.request, pool, functools.partial(self._bypassed, run))
            signals = signals._replace(quality=scores)
        field = self._field(run, pool, work, signals)
        if field.spare and not field.candidates and wait and await self._panic.waited(io, run, field):
            field = self._field(run, pool, work, signals)
        last = self._panic.last_resort(field) if field.spare else []
        fallen_back: RouteDecision | None = None
        if pool.fallbacks:
            fallen_back = await self._of_fallbacks(io, run, strategy, pool, work, signals)
        if field.candidates:
            decision = await self._ranked(io, run, strategy, field.candidates, signals)
            if last:
                decision = behind(decision, self._rank_last(run, strategy, last, decision.signals))
        elif last:
            decision = await self._rank(io, run, strategy, last, signals)
            note = f"everybody is ejected or silent; asked as a last resort: {names(last)}"
            decision = dataclasses.replace(decision, notes=(*decision.notes, note))
        elif fallen_back is not None:
            note = "nobody of the group that was asked for can serve it; its fallback is asked"
            decision = dataclasses.replace(fallen_back, notes=(*fallen_back.notes, note))
            fallen_back = None
        elif field.spare:
            raise self._panic.all_unavailable(field)
        else:
            raise NoCandidateError(_nobody(run.request.group, field.rejections), rejections=field.rejections)
        if fallen_back is not None:
            decision = _joined(decision, fallen_back.ranked)
        rejections = field.rejections
        if last:
            asked = {candidate.name for candidate in decision.ranked.candidates}
            rejections = tuple(r for r in rejections if r.deployment.name not in asked)
        rejections = (*rejections, *decision.rejections)
        if not decision.ranked.candidates:
            raise NoCandidateError(_nobody(run.request.group, rejections), rejections=rejections)
        decision = RouteDecision(
            strategy=decision.strategy,
            ranked=decision.ranked,
            reason=decision.reason,
            rejections=rejections,
            signals=decision.signals,
            path=decision.path,
            request=run.request,
            propensity=decision.propensity,
            notes=(*decision.notes, *explained(decision, signals.quality)) if signals.quality else decision.notes,
        )
        run.decision = decision
        if self._notify:
            self._notify(Decided(request_id=run.id, at=self._clock.time(), decision=decision))
        return decision

    def input_tokens(self, run: Run) -> int:
        """What the request is likely to take of a deployment's tokens per minute."""
        return work_of(run.request, None).input_tokens

    def _field(self, run: Run, pool: Pool, work: Work, signals: Signals) -> Field:
        """Who may serve the request now, and in a panic who might all the same."""
        unavailable = self._health.unavailable(work.input_tokens, run.ticket)
        if missing := self._setup.missing(pool.deployments):
            unavailable = {**unavailable, **missing}
        candidates, rejections = self._planned(run, pool, work, signals, unavailable)
        if not unavailable:
            return Field(candidates, rejections, {})
        avoided = {r.deployment.name for r in rejections if r.code == "health"}
        full = sum(r.code == "limit" for r in rejections)
        if not panics(len(avoided), len(candidates) + len(avoided) + full):
            return Field(candidates, rejections, {})
        # Only now is it worth while to see which of them fit the request at all.
        others = {name: why for name, why in unavailable.items() if name not in avoided}
        able, unable = self._planned(run, pool, work, signals, others)
        spare = {candidate.name: candidate for candidate in able if candidate.name in avoided}
        if not panics(len(spare), len(able) + full):
            return Field(candidates, rejections, {})
        return Field(candidates, (*(r for r in rejections if r.deployment.name in spare), *unable), spare)

    async def _of_fallbacks(
        self, io: IO, run: Run, strategy: Strategy, pool: Pool, work: Work, signals: Signals
    ) -> RouteDecision | None:
        """Those of the groups behind this one that may be asked, each group in the strategy's order; None: nobody."""
        found: RouteDecision | None = None
        for fallback in pool.fallbacks:
            field = self._field(run, fallback, work, signals)
            if field.candidates:
                decision = await self._ranked(io, run, strategy, field.candidates, signals)
                found = decision if found is None else _joined(found, decision.ranked)
        return found

    async def _ranked(
        self, io: IO, run: Run, strategy: Strategy, candidates: list[Candidate], signals: Signals
    ) -> RouteDecision:
        """The strategy's order; behind it those of which nobody knows whether they can do what the request needs."""
        needed = needed_capabilities(run.request)
        known, doubtful = doubtful_last(candidates, needed) if needed else (candidates, [])
        if not doubtful:
            return await self._rank(io, run, strategy, candidates, signals)
        decision = await self._rank(io, run, strategy, known or doubtful, signals)
        missing = sorted({name for c in doubtful for name in needed - c.deployment.model.capabilities})
        note = f"nobody knows whether these can do {', '.join(missing)}: {names(doubtful)}"
        if not known:
            return dataclasses.replace(decision, notes=(*decision.notes, note))
        rest = self._rank_last(run, strategy, doubtful, decision.signals)
        decision = _joined(decision, rest)
        return dataclasses.replace(decision, notes=(*decision.notes, f"{note}; behind the others"))

    def _rank_last(self, run: Run, strategy: Strategy, last: Sequence[Candidate], signals: Signals) -> Ranking:
        """Those that the strategy would allow, in the order given: its order is for the healthy."""
        try:
            allowed = {r.deployment.name: r.score for r in strategy.rank(run.request, last, signals).ranked}
        except Exception:  # it has ranked the healthy ones; these are nothing but an addition
            return Ranking()
        kept = [candidate for candidate in last if candidate.name in allowed]
        return Ranking(kept, [allowed[candidate.name] for candidate in kept])

    def _planned(
        self,
        run: Run,
        pool: Pool,
        work: Work,
        signals: Signals,
        unavailable: Mapping[str, tuple[RejectionCode, str]],
    ) -> tuple[list[Candidate], tuple[Rejection, ...]]:
        request = run.request
        candidates, rejections = plan(
            pool, request, work, signals, unavailable,
            ceiling=request.requirements.max_cost, price_required=self._billing.price_required(),
            works=self._works(run, pool, work),
        )  # fmt: skip
        if refusing := self._declined.refuses(request):
            candidates, rejections = _without(candidates, rejections, refusing)
        if signals.quality:
            apply(signals.quality, candidates)
        candidates, unaffordable = self._billing.affordable(run, candidates)
        return candidates, (*rejections, *unaffordable) if unaffordable else rejections

    def _works(self, run: Run, pool: Pool, work: Work) -> Mapping[str, Work]:
        """How much single deployments are sent instead of the request: by their own compressors or parameters."""
        added = pool.defaults
        if added is None:
            added = pool.defaults = self._added(pool)
        if not added and not run.own:
            return EMPTY
        limit = self._billing.output_limit(run.request)
        works = {name: work_of(own.request, limit, added.get(name, EMPTY)) for name, own in run.own.items()}
        known: list[tuple[Mapping[str, Any], Work]] = []  # many deployments add the same
        for name, defaults in added.items():
            if name not in works:
                found = next((other for same, other in known if same == defaults), None)
                if found is None:
                    known.append((defaults, found := work_of(run.request, limit, defaults)))
                works[name] = found
        return works

    def _added(self, pool: Pool) -> dict[str, Mapping[str, Any]]:
        """The parameters that the pool's deployments are always sent with, of those that have any."""
        found: dict[str, Mapping[str, Any]] = {}
        for deployment in pool.deployments:
            try:
                defaults = self._provider_of(deployment).default_params(deployment) if self._provider_of else None
            except Exception:  # who cannot be made cannot be asked either, and says so then
                defaults = None
            if defaults:
                found[deployment.name] = defaults
        return found

    async def _rank(
        self, io: IO, run: Run, strategy: Strategy, candidates: Sequence[Candidate], signals: Signals
    ) -> RouteDecision:
        try:
            if _gathers(strategy):
                left_s = run.deadline.remaining_s()
                gathering = io.gather(strategy, run.request, candidates, signals)
                signals = await io.within(None if left_s is None else left_s / 2, gathering)
            decision = strategy.rank(run.request, candidates, signals)
            if not isinstance(decision, RouteDecision):
                raise TypeError(f"a strategy returns a RouteDecision, not {type(decision).__name__}")
            return decision
        except RoutekitError:
            raise
        except Exception as error:
            self._bypassed(run, "strategy", strategy.name, error)
            return RouteDecision(
                strategy=strategy.name,
                ranked=Ranking(list(candidates), [0.0] * len(candidates)),
                reason=f"in configured order, because the strategy failed ({type(error).__name__})",
                signals=signals,
                path=(strategy.name,),
            )

    def _signals(self, strategy: Strategy, run: Run, input_tokens: int) -> Signals:
        load = strategy.uses_load
        latency = self._health.latencies() if load or strategy.uses_latency else {}
        cached = self._prefixes.cached(run.request, input_tokens) if input_tokens >= MIN_TOKENS else {}
        holder = self._prefixes.holder(run.request) if cached or run.request.tools else None
        if holder is not None:
            return Signals(
                self._rng.getrandbits(32), self._clock.time(), latency, self._health.in_flight() if load else {},
                cached, holder=holder.deployment, holder_strategy=holder.strategy,
                in_tool_loop=run.request.messages[-1].get("role") == "tool",
            )  # fmt: skip
        return Signals(
            self._rng.getrandbits(32),
            self._clock.time(),
            latency,
            self._health.in_flight() if load else {},
            cached,
        )

    def _bypassed(self, run: Run, kind: str, name: str, error: Exception) -> None:
        run.notes.append(f"{kind} {name} failed and was left out ({type(error).__name__})")
        if self._notify:
            self._notify(
                PluginBypassed(
                    request_id=run.id, at=self._clock.time(), kind=kind, name=name, error=type(error).__name__
                )
            )


def _joined(decision: RouteDecision, rest: Ranking) -> RouteDecision:
    """The decision with others behind its own, none of them twice."""
    ranked = decision.ranked
    there = {candidate.name for candidate in ranked.candidates}
    more = [(c, s) for c, s in zip(rest.candidates, rest.scores, strict=True) if c.name not in there]
    joined = Ranking([*ranked.candidates, *(c for c, _ in more)], [*ranked.scores, *(s for _, s in more)])
    return dataclasses.replace(decision, ranked=joined)


def _gathers(strategy: Strategy) -> bool:
    kind = type(strategy)
    return kind.gather is not Strategy.gather or kind.agather is not Strategy.agather


def _without(
    candidates: list[Candidate], rejections: tuple[Rejection, ...], refusing: Mapping[str, str]
) -> tuple[list[Candidate], tuple[Rejection, ...]]:
    """The candidates that have not said already that they refuse such a request; all of them where each one has."""
    willing = [candidate for candidate in candidates if candidate.name not in refusing]
    if not willing:
        return candidates, rejections
    unwilling = tuple(
        Rejection(deployment=candidate.deployment, code="capability", reason=refusing[candidate.name])
        for candidate in candidates
        if candidate.name in refusing
    )
    return willing, (*rejections, *unwilling)


def _nobody(group: str | None, rejections: Sequence[Rejection]) -> str:
    if not rejections:
        return f"no deployment is in group {group or 'default'!r}"
    return f"no deployment may serve this request. {told(rejections)}"
