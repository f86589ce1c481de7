"""Step 9 of the way of a request: candidates are asked in turn until one answers."""

from __future__ import annotations

import functools
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from routekit.engine.attempts.answer_checks import AnswerPolicy, fault_of
from routekit.engine.attempts.call import TIMER_SLACK_S, call_for, output_limit, prepared, remaining_s
from routekit.engine.attempts.classify import as_provider_error, owed, short
from routekit.engine.attempts.final_error import stopped
from routekit.engine.attempts.hedge_budget import HedgeBudget
from routekit.engine.attempts.incoming import incoming
from routekit.engine.attempts.normalize import answer_of
from routekit.engine.attempts.policy import Failure, next_move
from routekit.engine.attempts.sequence import Chain, Opened, first_chunk
from routekit.engine.attempts.time_limits import SAMPLES
from routekit.engine.budget.reservations import Billing
from routekit.engine.budget.usage import counted, counted_stream
from routekit.engine.events import Notifier
from routekit.engine.health.health import Health, Refusal
from routekit.engine.health.overload import Overload
from routekit.engine.health.queue import WaitingRoom
from routekit.engine.health.shared import Shared
from routekit.engine.history.assemble import message_of
from routekit.engine.io.port import IO, Handle
from routekit.engine.permit import Answered, Permit
from routekit.engine.plan.declined import MENDS, Declined
from routekit.engine.plan.prompt_cache import PrefixMemory
from routekit.engine.run import Run
from routekit.engine.settings import EngineSettings
from routekit.errors import (
    BudgetExceededError,
    ProviderError,
    ProviderTimeoutError,
    ProviderUnavailableError,
    UnsupportedParameterError,
)
from routekit.plugin import Provider, reaper
from routekit.types import (
    Answer,
    Attempt,
    AttemptEnded,
    AttemptStarted,
    Candidate,
    Chunk,
    Clock,
    Deployment,
    FirstToken,
    Message,
    Money,
    Outcome,
    Usage,
    text_tokens,
)

_log = logging.getLogger("routekit.asking")
UNKNOWN_PATIENCE_S = 5.0
"""How long a deployment may be silent before that speaks against it, where its own pace is not known."""

T = TypeVar("T")
AttemptOf = Callable[[IO, Run, Chain, Permit], Awaitable[T]]


class Asking:
    """Asks one candidate after the other. Every path ends its permit, its hold and its attempt."""

    def __init__(
        self,
        *,
        provider_of: Callable[[Deployment], Provider],
        health: Health,
        billing: Billing,
        prefixes: PrefixMemory,
        settings: EngineSettings,
        clock: Clock,
        rng: random.Random,
        notify: Notifier,
        answers: AnswerPolicy | None = None,
        queue: WaitingRoom,
        shared: Shared,
        declined: Declined,
    ) -> None:
        self._declined = declined
        self._shared = shared
        self._overload = Overload(clock, rng)
        self._queue = queue
        self._answers = answers or AnswerPolicy()
        self._provider_of = provider_of
        self._health = health
        self._billing = billing
        self.renew = billing.renew
        self._prefixes = prefixes
        self._settings = settings
        self.max_attempts = settings.max_attempts
        self._clock = clock
        self._rng = rng
        self._notify = notify
        self._hedges = HedgeBudget(settings.hedge_share)

    async def answer(self, io: IO, run: Run, chain: Chain) -> Answered:
        """The next whole answer of the chain. Raises what `stopped` says."""
        return await self.ask(io, run, chain, self._complete, self._unwanted_answer)

    async def open(self, io: IO, run: Run, chain: Chain) -> Opened:
        """The next stream of the chain that shows content."""
        return await self.ask(io, run, chain, self._open, self._unwanted_stream)

    async def ask(
        self, io: IO, run: Run, chain: Chain, attempt: AttemptOf[T], unwanted: Callable[[IO, Run, T], None]
    ) -> T:
        """What `attempt` makes of the next candidate that does not fail. Raises what `stopped` says."""
        while True:
            permit = await self._permit(io, run, chain)
            if permit is None:
                continue
            delay_s = self._hedge_after_s(run, chain, permit)
            try:
                if delay_s is None:
                    return await self._counted(io, run, chain, permit, attempt)
                return await self._hedged(io, run, chain, permit, delay_s, attempt, unwanted)
            except ProviderError:
                continue

    async def _counted(self, io: IO, run: Run, chain: Chain, permit: Permit, attempt: AttemptOf[T]) -> T:
        try:
            return await attempt(io, run, chain, permit)
        except ProviderError as error:
            mended = isinstance(error, UnsupportedParameterError) and self._mended(run, chain, permit, error)
            chain.failures.append(Failure(permit.place, error, mended))
            raise

    def _mended(self, run: Run, chain: Chain, permit: Permit, error: UnsupportedParameterError) -> bool:
        """Whether what was refused is left out or renamed from now on, so that the same place is asked again."""
        why = self._declined.mends(run.request, permit.candidate.deployment, error)
        if why:
            run.notes.append(why)
        return bool(why) and sum(failure.mended for failure in chain.failures) < MENDS

    async def _hedged(
        self,
        io: IO,
        run: Run,
        chain: Chain,
        permit: Permit,
        delay_s: float,
        attempt: AttemptOf[T],
        unwanted: Callable[[IO, Run, T], None],
    ) -> T:
        """The attempt, and after `delay_s` of silence a second one beside it; the first that answers counts."""

        async def first(io: IO) -> T:
            return await self._counted(io, run, chain, permit, attempt)

        async def second(io: IO) -> T | None:
            extra = await self._extra(io, run, chain, permit)
            return None if extra is None else await self._counted(io, run, chain, extra, attempt)

        return await io.race(first, second, delay_s, lambda io, result: unwanted(io, run, result))

    def _hedge_after_s(self, run: Run, chain: Chain, permit: Permit) -> float | None:
        """How long the attempt may be silent before it is hedged, None for never."""
        settings = self._settings
        if not settings.hedge or chain.role != "answer" or chain.next_behind(permit.place) is None:
            return None
        if run.used == 1:
            self._hedges.asked()
        if settings.hedge_after_s is not None:
            return settings.hedge_after_s
        typical = self._health.typical(permit.candidate.deployment.name, permit.candidate.work.input_tokens)
        if typical is None or typical.samples < SAMPLES:
            return None
        return typical.ttft_p95_s if run.request.stream else typical.total_p95_s

    async def _extra(self, io: IO, run: Run, chain: Chain, beside: Permit) -> Permit | None:
        """A second place at once, if the limit of attempts and the budget of hedges allow one."""
        place = chain.next_behind(beside.place)
        if place is None or run.used >= self.max_attempts:
            return None
        worst = chain.candidates[place].worst_nanos
        if worst is None or not self._hedges.take(worst):
            return None
        permit = None
        try:
            permit = await self._admitted(io, run, chain, place, "hedge")
        finally:
            if permit is None:
                self._hedges.untaken(worst)
            else:
                permit.hedge_nanos = worst
        return permit

    def _unwanted_answer(self, io: IO, run: Run, answered: Answered) -> None:
        self.ended(run, answered.permit, "cancelled", answered.usage, detail="another attempt was faster")

    def _unwanted_stream(self, io: IO, run: Run, opened: Opened) -> None:
        io.discard(opened.handle)
        usage, opened.permit.doubt = counted_stream(opened.permit.candidate, opened.chunks)
        self.ended(run, opened.permit, "cancelled", usage, detail="another attempt was faster")

    @property
    def min_tokens_per_s(self) -> float | None:
        """The least pace of a stream, None for any."""
        return self._settings.min_tokens_per_s

    def on_interrupt(self, run: Run) -> str:
        """What follows when this request's stream breaks: "error", "continue" or "restart"."""
        return run.request.on_interrupt or self._settings.on_interrupt

    def ended(
        self,
        run: Run,
        permit: Permit,
        outcome: Outcome,
        usage: Usage | None,
        error: ProviderError | None = None,
        detail: str = "",
    ) -> Attempt:
        """Ends one attempt on every path: bill, health, record, event. Never waits.

        The place is given back whatever the steps before it raise.
        """
        duration_s = max(0.0, run.deadline.elapsed_s() - permit.started_s)
        deployment = permit.candidate.deployment
        bill = self._billing.settle(run, permit, usage)
        run.held_nanos -= permit.held_nanos
        permit.held_nanos = 0
        try:
            if self._settings.hedge:
                self._hedges.paid(bill.cost.nanos, held_nanos=permit.hedge_nanos)
            self._judge(run, permit, outcome, usage, error, duration_s)
        except Exception:
            _log.exception("the health of %s could not be told of a call's end", deployment.name)
        finally:
            self._shared.ended(deployment, permit.shared)
            self._queue.freed((deployment.name,))
        attempt = Attempt(
            deployment=deployment,
            outcome=outcome,
            error=error,
            usage=usage or Usage(),
            cost=bill.cost,
            cost_known=bill.known,
            started_s=permit.started_s,
            duration_s=duration_s,
            ttft_s=permit.ttft_s,
            role=permit.role,
            detail=detail or (short(error) if error else ""),
            uncertain=bill.uncertain,
        )
        run.record(attempt)
        if self._notify:
            self._notify(AttemptEnded(request_id=run.id, at=self._clock.time(), attempt=attempt))
        return attempt

    def _judge(
        self,
        run: Run,
        permit: Permit,
        outcome: Outcome,
        usage: Usage | None,
        error: ProviderError | None,
        duration_s: float,
    ) -> None:
        """What the attempt says about its deployment."""
        if error is not None:
            self._health.failed(permit.admission, error, total_s=duration_s)
        elif outcome == "ok":
            self._health.succeeded(
                permit.admission, total_s=duration_s, ttft_s=permit.ttft_s, gap_s=permit.gap_s,
                output_tokens=usage.output_tokens if usage else 0, input_tokens=permit.candidate.work.input_tokens,
            )  # fmt: skip
            if usage is not None and permit.role == "answer":
                path = run.decision.path if run.decision is not None else ()
                self._prefixes.remember(
                    run.request, permit.candidate.name, usage.input_tokens, path[-1] if path else ""
                )
        else:
            self._health.left(permit.admission)
        self._overload.ended(permit, outcome, error)

    async def _permit(self, io: IO, run: Run, chain: Chain) -> Permit | None:
        """A place with a permit and a hold; None: look for the next one."""
        # A judge's calls are no answers, but its failures may not go on for ever either.
        used = run.used if chain.role == "answer" else run.used + len(chain.failures)
        move = next_move(
            chain.failures, chain.candidates, used, remaining_s(run), chain.skipped,
            self._settings.max_attempts, self._rng, self._settings.on_bad_request == "next",
        )  # fmt: skip
        if move.action == "stop":
            raise stopped(run, chain, move, remaining_s(run), self._health.retry_at)
        deployment = chain.candidates[move.place].deployment
        if not any(failure.place == move.place and not failure.mended for failure in chain.failures):
            return await self._admitted(io, run, chain, move.place, chain.role)
        # A retry in place. Whatever would make it vain is known before the wait.
        if (refusal := self._health.refuses(deployment.name, move.wait_s)) is not None:
            chain.skip(move.place, refusal.code, refusal.reason)
            return None
        if (why := self._overload.refuses_retry(deployment)) is not None:
            chain.skip(move.place, "health", why)
            return None
        permit = None
        try:
            await io.sleep(move.wait_s)
            permit = await self._admitted(io, run, chain, move.place, chain.role)
        finally:
            if permit is None:
                self._overload.retry_unsent(deployment)
            else:
                permit.retries = True
        return permit

    async def _admitted(self, io: IO, run: Run, chain: Chain, place: int, role: str) -> Permit | None:
        candidate = chain.candidates[place]
        deployment = candidate.deployment
        if (why := self._too_dear(run, candidate)) is not None:
            chain.skip(place, "max_cost", why)
            return None
        if (why := self._overload.refuses(candidate, chain.others_behind(place))) is not None:
            chain.skip(place, "health", why)
            run.notes.append(f"{deployment.name} was passed over: {why}")
            return None
        entered = self._health.enter(deployment.name, candidate.work.input_tokens, run.ticket)
        if isinstance(entered, Refusal):
            chain.skip(place, entered.code, entered.reason)
            return None
        permit = Permit(candidate, entered, place, role, run.deadline.elapsed_s())
        try:
            permit.shared, why = await self._shared.refuses(io, deployment, candidate.work.input_tokens)
            if why is not None:
                self._left(permit)
                chain.skip(place, "limit", why)
                return None
            if run.ticket is not None:  # it has what it waited for
                self._queue.leave(run)
            await self._billing.reserve(io, run, permit)
        except BudgetExceededError as error:
            self._left(permit)
            if not self._billing.downgrades(error.scope) and role != "hedge":
                raise
            if role != "hedge":
                chain.over_budget = error
            chain.skip(place, "budget", f"no longer fits into budget {error.scope!r}")
            return None
        except BaseException as error:
            reaper.end(error, functools.partial(self._left, permit))
            raise
        permit.held_nanos = candidate.worst_nanos or 0
        run.held_nanos += permit.held_nanos
        if chain.role == "answer":
            run.used += 1
        self._overload.started(deployment)
        if self._notify:
            self._notify(AttemptStarted(request_id=run.id, at=self._clock.time(), deployment=deployment))
        return permit

    def _left(self, permit: Permit) -> None:
        """Nothing was sent: the place is free again."""
        self._shared.ended(permit.candidate.deployment, permit.shared)
        self._health.left(permit.admission)
        self._queue.freed((permit.candidate.deployment.name,))

    async def _complete(self, io: IO, run: Run, chain: Chain, permit: Permit) -> Answered:
        candidate = permit.candidate
        try:
            provider = self._provider_of(candidate.deployment)
            if not provider.is_ready:
                await prepared(io, run, provider)
            call, watch = call_for(run, chain, permit, self._settings, self._health, self._declined)
            permit.sent = True
            answer = answer_of(await io.complete(provider, call, watch))
            self._overload.note(candidate.deployment, answer.headers)
            usage, permit.doubt = counted(answer.usage, candidate, answer.message, others=answer.others)
            if (fault := fault_of(run.request, answer, usage, self._answers, run.notes)) is not None:
                raise fault
        except BaseException as error:
            raise self.failed(run, permit, error, ())  # noqa: B904 - it brings its own cause
        permit.ttft_s = None
        return Answered(answer, permit, usage)

    async def _open(self, io: IO, run: Run, chain: Chain, permit: Permit) -> Opened:
        handle: Handle = None
        chunks: list[Chunk] = []
        warm_up = 0 if chain.said else self._settings.warm_up_tokens
        try:
            provider = self._provider_of(permit.candidate.deployment)
            if not provider.is_ready:
                await prepared(io, run, provider)
            call, watch = call_for(run, chain, permit, self._settings, self._health, self._declined, stream=True)
            reader = incoming(run.request, output_limit(call))
            permit.sent = permit.streamed = True
            handle = io.open(provider, call)
            while True:
                limit_s = call.first_token_timeout_s if permit.ttft_s is None else call.idle_timeout_s
                if limit_s is not None and permit.ttft_s is None:
                    limit_s = max(0.0, limit_s - (run.deadline.elapsed_s() - permit.started_s))
                if permit.ttft_s is not None:
                    watch = None
                now = watch and watch._replace(after_s=watch.after_s - (run.deadline.elapsed_s() - permit.started_s))
                chunk = await first_chunk(io, handle, reader, limit_s, now)
                if chunk is None:
                    if not chain.said:
                        self._check_whole(run, chunks)
                    break
                chunks.append(chunk)
                if chunk.headers:
                    self._overload.note(permit.candidate.deployment, chunk.headers)
                if chunk.has_content:
                    if permit.ttft_s is None:
                        self._first_token(run, permit)
                    if warm_up > 0:
                        warm_up -= max(1, text_tokens(chunk.text))
                    if warm_up <= 0:
                        break
        except BaseException as error:
            if handle is not None:
                reaper.end(error, functools.partial(io.discard, handle))
            raise self.failed(run, permit, error, chunks)  # noqa: B904 - it brings its own cause
        if permit.ttft_s is None:
            self._first_token(run, permit)
        return Opened(handle, chunks, permit, chain, call.idle_timeout_s, reader)

    def _check_whole(self, run: Run, chunks: list[Chunk]) -> None:
        """A stream that ended before it was committed is looked at like any answer."""
        reason = next((chunk.finish_reason for chunk in chunks if chunk.finish_reason), None)
        usage = next((chunk.usage for chunk in reversed(chunks) if chunk.usage), None)
        if reason is None:
            raise ProviderUnavailableError("the stream ended without a finish reason", usage=usage)
        if (fault := self.fault(run, message_of(chunks), reason, usage)) is not None:
            raise fault

    def fault(self, run: Run, message: Message, reason: str, usage: Usage | None) -> ProviderError | None:
        """The failure that a stream's whole answer is, or None."""
        return fault_of(run.request, Answer(message=message, finish_reason=reason), usage, self._answers, run.notes)

    def _first_token(self, run: Run, permit: Permit) -> None:
        permit.ttft_s = run.deadline.elapsed_s() - permit.started_s
        self._health.progressed(permit.admission)
        if self._notify:
            self._notify(
                FirstToken(
                    request_id=run.id, at=self._clock.time(),
                    deployment=permit.candidate.deployment, ttft_s=permit.ttft_s,
                )
            )  # fmt: skip

    def failed(self, run: Run, permit: Permit, error: BaseException, chunks: Any) -> BaseException:
        """Ends an attempt that raised; returns what to raise instead."""
        failure = as_provider_error(error, permit.candidate.deployment)
        if isinstance(failure, ProviderTimeoutError) and self._was_hurried(run, permit, failure):
            failure.blame = "request"
        if not permit.doubt:
            usage, permit.doubt = owed(failure, permit, chunks)
        else:  # the answer came, with a report that cannot be true, and was not good enough
            usage = failure.usage if failure is not None else None
        # None: cancelled, interrupted from the keyboard; nobody's fault.
        outcome: Outcome = "cancelled" if failure is None else "error"
        reaper.end(error, functools.partial(self.ended, run, permit, outcome, usage, failure))
        return error if failure is None else failure

    def _was_hurried(self, run: Run, permit: Permit, failure: ProviderTimeoutError) -> bool:
        """Whether the caller's deadline ended an attempt that was no slower than its deployment may be."""
        if permit.callers_limit_s is None or permit.ttft_s is not None or failure.unsent:
            return False
        silent_s = run.deadline.elapsed_s() - permit.started_s
        if silent_s < permit.callers_limit_s - TIMER_SLACK_S:  # a limit of the provider's own was shorter
            return False
        own_s = self._health.patience_s(permit.candidate.deployment.name)
        return silent_s <= (UNKNOWN_PATIENCE_S if own_s is None else own_s)

    def _too_dear(self, run: Run, candidate: Candidate) -> str | None:
        ceiling = run.request.requirements.max_cost
        if ceiling is None:
            return None
        worst = candidate.worst_nanos
        spent = run.cost_nanos + run.unbilled_nanos + run.held_nanos
        if worst is None or spent + worst > ceiling.nanos:
            could = "an unknown amount" if worst is None else str(Money(worst))
            return f"{Money(spent)} is spent or held and it could cost {could}; at most {ceiling} is allowed"
        return None
