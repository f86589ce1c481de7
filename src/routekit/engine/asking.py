"""Step 9 of the way of a request: candidates are asked in turn until one answers."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from routekit.engine.affinity import PrefixMemory
from routekit.engine.assemble import arguments_of, is_empty, message_of
from routekit.engine.attempts import Failure, Move, attempt_limit_s, next_move
from routekit.engine.billing import Billing, usage_or_estimate
from routekit.engine.health import Health
from routekit.engine.io import IO, Handle
from routekit.engine.notify import Notifier
from routekit.engine.run import Answered, Permit, Run
from routekit.engine.settings import EngineSettings
from routekit.errors import (
    AllAttemptsFailedError,
    BudgetExceededError,
    ContentFilterError,
    CostCeilingError,
    DeadlineExceededError,
    InvalidResponseError,
    NoCandidateError,
    ProviderError,
    ProviderTimeoutError,
    ProviderUnavailableError,
)
from routekit.plugin import Provider, ProviderCall
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
    Money,
    Outcome,
    Rejection,
    RejectionCode,
    RouteDecision,
    Usage,
)

TIMER_SLACK_S = 0.005
"""Timers of the operating system may fire a little early; so close to its end a deadline is over."""


class Opened:
    """A stream with its first content in hand: the place is taken, nothing is committed yet."""

    __slots__ = ("chunks", "handle", "permit")

    def __init__(self, handle: Handle, chunks: list[Chunk], permit: Permit) -> None:
        self.handle = handle
        self.chunks = chunks
        self.permit = permit


class Chain:
    """The candidates of one decision on their way to being asked."""

    def __init__(self, decision: RouteDecision, role: str = "answer", logprobs: bool = False) -> None:
        self.decision = decision
        self.candidates = decision.ranked.candidates
        self.role = role
        self.logprobs = logprobs
        self.failures: list[Failure] = []
        self.skipped: set[int] = set()
        self.refusals: list[tuple[int, RejectionCode, str]] = []
        self.over_budget: BudgetExceededError | None = None

    def skip(self, place: int, code: RejectionCode, why: str) -> None:
        self.skipped.add(place)
        self.refusals.append((place, code, why))


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
    ) -> None:
        self._provider_of = provider_of
        self._health = health
        self._billing = billing
        self._prefixes = prefixes
        self._settings = settings
        self.max_attempts = settings.max_attempts
        self._clock = clock
        self._rng = rng
        self._notify = notify

    async def answer(self, io: IO, run: Run, chain: Chain) -> Answered:
        """The next whole answer of the chain. Raises what `_stopped` says."""
        while True:
            permit = await self._permit(io, run, chain)
            if permit is None:
                continue
            try:
                return await self._complete(io, run, chain, permit)
            except ProviderError as error:
                chain.failures.append(Failure(permit.place, error))

    async def open(self, io: IO, run: Run, chain: Chain) -> Opened:
        """The next stream of the chain that shows content."""
        while True:
            permit = await self._permit(io, run, chain)
            if permit is None:
                continue
            try:
                return await self._open(io, run, chain, permit)
            except ProviderError as error:
                chain.failures.append(Failure(permit.place, error))

    def ended(
        self,
        run: Run,
        permit: Permit,
        outcome: Outcome,
        usage: Usage | None,
        error: ProviderError | None = None,
        detail: str = "",
    ) -> Attempt:
        """Ends one attempt on every path: bill, health, record, event. Never waits."""
        duration_s = max(0.0, run.deadline.elapsed_s() - permit.started_s)
        deployment = permit.candidate.deployment
        cost, known = self._billing.settle(run, permit, usage)
        if error is not None:
            self._health.failed(deployment.name, error, total_s=duration_s)
        elif outcome == "ok":
            tokens = usage.output_tokens if usage else 0
            self._health.succeeded(deployment.name, total_s=duration_s, ttft_s=permit.ttft_s, output_tokens=tokens)
            if usage is not None and permit.role == "answer":
                self._prefixes.remember(run.request, deployment.name, usage.input_tokens)
        else:
            self._health.left(deployment.name)
        attempt = Attempt(
            deployment=deployment,
            outcome=outcome,
            error=error,
            usage=usage or Usage(),
            cost=cost,
            cost_known=known,
            started_s=permit.started_s,
            duration_s=duration_s,
            ttft_s=permit.ttft_s,
            role=permit.role,
            detail=detail or (_short(error) if error else ""),
        )
        run.record(attempt)
        if self._notify:
            self._notify(AttemptEnded(request_id=run.id, at=self._clock.time(), attempt=attempt))
        return attempt

    async def _permit(self, io: IO, run: Run, chain: Chain) -> Permit | None:
        """A place with a permit and a hold; None: look for the next one."""
        # A judge's calls are no answers, but its failures may not go on for ever either.
        used = run.used if chain.role == "answer" else run.used + len(chain.failures)
        move = next_move(
            chain.failures, chain.candidates, used, self._remaining_s(run), chain.skipped,
            self._settings.max_attempts, self._rng,
        )  # fmt: skip
        if move.action == "stop":
            raise self._stopped(run, chain, move)
        if move.wait_s:
            await io.sleep(move.wait_s)
        candidate = chain.candidates[move.place]
        if (why := self._too_dear(run, candidate)) is not None:
            chain.skip(move.place, "max_cost", why)
            return None
        busy = self._health.admit(candidate.deployment.name, candidate.work.input_tokens)
        if busy is not None:
            chain.skip(move.place, "health", busy)
            return None
        permit = Permit(candidate, move.place, chain.role, run.deadline.elapsed_s())
        try:
            await self._billing.reserve(io, run, permit)
        except BudgetExceededError as error:
            self._health.left(candidate.deployment.name)
            if not self._billing.downgrades(error.scope):
                raise
            chain.over_budget = error
            chain.skip(move.place, "budget", f"no longer fits into budget {error.scope!r}")
            return None
        except BaseException:
            self._health.left(candidate.deployment.name)
            raise
        if chain.role == "answer":
            run.used += 1
        if self._notify:
            self._notify(AttemptStarted(request_id=run.id, at=self._clock.time(), deployment=candidate.deployment))
        return permit

    async def _complete(self, io: IO, run: Run, chain: Chain, permit: Permit) -> Answered:
        candidate = permit.candidate
        try:
            provider = self._provider_of(candidate.deployment)
            answer = await io.complete(provider, self._call(run, chain, permit))
            usage = usage_or_estimate(answer.usage, candidate, answer.text, arguments_of(answer.message))
            _check(answer, usage)
        except BaseException as error:
            raise self._failed(run, permit, error, ())  # noqa: B904 - it brings its own cause
        permit.ttft_s = None
        return Answered(answer, permit, usage)

    async def _open(self, io: IO, run: Run, chain: Chain, permit: Permit) -> Opened:
        handle: Handle = None
        chunks: list[Chunk] = []
        try:
            call = self._call(run, chain, permit, stream=True)
            handle = io.open(self._provider_of(permit.candidate.deployment), call)
            while True:
                limit_s = call.first_token_timeout_s
                if limit_s is not None:
                    limit_s = max(0.0, limit_s - (run.deadline.elapsed_s() - permit.started_s))
                chunk = await io.next(handle, limit_s)
                if chunk is None:
                    _check_stream_end(chunks)
                    break
                chunks.append(chunk)
                if chunk.has_content:
                    break
        except BaseException as error:
            if handle is not None:
                io.discard(handle)
            raise self._failed(run, permit, error, chunks)  # noqa: B904 - it brings its own cause
        permit.ttft_s = run.deadline.elapsed_s() - permit.started_s
        if self._notify:
            self._notify(
                FirstToken(
                    request_id=run.id, at=self._clock.time(),
                    deployment=permit.candidate.deployment, ttft_s=permit.ttft_s,
                )
            )  # fmt: skip
        return Opened(handle, chunks, permit)

    def _call(self, run: Run, chain: Chain, permit: Permit, stream: bool = False) -> ProviderCall:
        candidate, request = permit.candidate, chain.decision.request or run.request
        params = request.params
        bound = candidate.work.output_bound
        if bound is not None and request.wanted_output is None:
            most = candidate.deployment.model.max_output
            params = {**params, "max_tokens": bound if most is None else min(bound, most)}
        if chain.logprobs and "logprobs" not in params:
            params = {**params, "logprobs": True}
        remaining_s = self._remaining_s(run)
        others = run.used < self.max_attempts and self._others(chain, permit.place)
        limit_s = attempt_limit_s(remaining_s, others)
        return ProviderCall(
            deployment=candidate.deployment,
            messages=request.messages,
            tools=request.tools,
            params=params,
            timeout_s=remaining_s if stream else limit_s,
            first_token_timeout_s=limit_s if stream else None,
            request_id=run.id,
        )

    @staticmethod
    def _others(chain: Chain, place: int) -> bool:
        """Whether somebody is left behind this place who was not asked yet."""
        behind = len(chain.candidates) - place - 1
        if not chain.failures and not chain.skipped:
            return behind > 0
        gone = chain.skipped.union(failure.place for failure in chain.failures)
        return behind > sum(1 for other in gone if other > place)

    def _failed(self, run: Run, permit: Permit, error: BaseException, chunks: Any) -> BaseException:
        """Ends an attempt that raised; returns what to raise instead."""
        candidate = permit.candidate
        failure = as_provider_error(error, candidate.deployment)
        if failure is None:  # cancelled, interrupted from the keyboard: nobody's fault, but it was sent
            self.ended(run, permit, "cancelled", usage_so_far(candidate, chunks))
            return error
        usage = failure.usage
        if usage is None and isinstance(failure, ProviderTimeoutError):
            usage = usage_so_far(candidate, chunks)  # it was sent and may well have been worked on
        self.ended(run, permit, "error", usage, failure)
        return failure

    def _too_dear(self, run: Run, candidate: Candidate) -> str | None:
        ceiling = run.request.requirements.max_cost
        if ceiling is None:
            return None
        worst = candidate.worst_nanos
        spent = run.cost_nanos + run.unbilled_nanos
        if worst is None or spent + worst > ceiling.nanos:
            could = "an unknown amount" if worst is None else str(Money(worst))
            return f"{Money(spent)} is spent and it could cost {could}; at most {ceiling} is allowed"
        return None

    def _stopped(self, run: Run, chain: Chain, move: Move) -> Exception:
        """Why nobody else is asked, as the error to raise."""
        attempts = tuple(run.attempts)
        last = chain.failures[-1].error if chain.failures else None
        if move.why == "refused" and last is not None:
            last.attempts = attempts
            return last
        if run.deadline.expired or (self._remaining_s(run) == 0) or move.why == "deadline":
            error: Exception = DeadlineExceededError(
                f"the deadline of {run.request.deadline_s} s was over after {len(attempts)} attempts", attempts=attempts
            )
        elif last is not None:
            told = "; ".join(f"{a.deployment.name}: {a.detail}" for a in attempts if a.error is not None)
            failed = "the attempt failed" if len(attempts) == 1 else f"all {len(attempts)} attempts failed"
            error = AllAttemptsFailedError(f"{failed}. {told}", attempts=attempts, decision=run.decision)
        elif chain.over_budget is not None:
            return chain.over_budget
        elif any(code == "max_cost" for _, code, _ in chain.refusals):
            error = CostCeilingError(
                "; ".join(f"{chain.candidates[p].deployment.name}: {why}" for p, _, why in chain.refusals),
                attempts=attempts,
            )
        else:
            rejections = [
                Rejection(deployment=chain.candidates[place].deployment, code=code, reason=why)
                for place, code, why in chain.refusals
            ]
            told = "; ".join(f"{r.deployment.name}: {r.reason}" for r in rejections)
            error = NoCandidateError(
                f"nobody could be asked. {told}", rejections=(*chain.decision.rejections, *rejections)
            )
        error.__cause__ = last
        return error

    @staticmethod
    def _remaining_s(run: Run) -> float | None:
        left = run.deadline.remaining_s()
        return 0.0 if left is not None and left < TIMER_SLACK_S else left


def as_provider_error(error: BaseException, deployment: Deployment) -> ProviderError | None:
    """The error of the tree that fits, or None for what is no failure (a cancellation)."""
    if isinstance(error, ProviderError):
        if error.deployment is None:
            error.deployment = deployment.name
        return error
    if isinstance(error, TimeoutError):
        late = ProviderTimeoutError(f"{deployment.name} did not answer in time", deployment=deployment.name)
        late.__suppress_context__ = True
        return late
    if isinstance(error, Exception):
        wrapped = ProviderUnavailableError(
            f"provider {deployment.provider!r} failed with an unclassified {type(error).__name__}",
            deployment=deployment.name,
        )
        if not isinstance(error, OSError):
            wrapped.blame = "local"  # a bug in the plugin says nothing about the deployment
        wrapped.__cause__ = error
        return wrapped
    return None


def usage_so_far(candidate: Candidate, chunks: Any) -> Usage:
    """What an unfinished attempt has used at least: the provider's figure if it came, else a count."""
    for chunk in reversed(chunks):
        if chunk.usage is not None:
            return chunk.usage  # type: ignore[no-any-return]  # chunks are Chunk objects
    text = "".join(chunk.text for chunk in chunks if isinstance(chunk.text, str))
    return usage_or_estimate(None, candidate, text)


def _check(answer: Answer, usage: Usage) -> None:
    """An answer that is no answer is a failure, and billed."""
    if not is_empty(answer.message):
        return
    if answer.finish_reason == "content_filter":
        raise ContentFilterError("the provider's content filter removed the answer", usage=usage)
    raise InvalidResponseError(f"the answer is empty (finish reason {answer.finish_reason!r})", usage=usage)


def _check_stream_end(chunks: list[Chunk]) -> None:
    """A stream ended before it showed anything."""
    reason = next((chunk.finish_reason for chunk in chunks if chunk.finish_reason), None)
    usage = next((chunk.usage for chunk in chunks if chunk.usage), None)
    if reason is None:
        raise ProviderUnavailableError("the stream ended without content and without a finish reason", usage=usage)
    _check(Answer(message=message_of(chunks), finish_reason=reason), usage or Usage())


def _short(error: ProviderError) -> str:
    text = str(error)
    return f"{type(error).__name__}: {text if len(text) <= 200 else text[:197] + '...'}"
