"""Streams: live ones after their commit point, replayed ones, and the faces they show to callers."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from routekit.engine.attempts.classify import as_provider_error
from routekit.engine.attempts.policy import Failure
from routekit.engine.attempts.runner import Asking
from routekit.engine.attempts.sequence import Chain, Opened
from routekit.engine.attempts.time_limits import PACE_WINDOW_S, Pace
from routekit.engine.budget.usage import Counted, counted, counted_stream
from routekit.engine.history.assemble import logprobs_of_all, message_of
from routekit.engine.history.continuation import Joint, continuable
from routekit.engine.history.copy import copied
from routekit.engine.in_flight import Traffic
from routekit.engine.io.port import IO
from routekit.engine.result import result_of
from routekit.engine.run import Run
from routekit.engine.stream.replay import _with_text
from routekit.engine.stream.segment import _Part
from routekit.errors import (
    InvalidResponseError,
    ProviderError,
    ProviderTimeoutError,
    ProviderUnavailableError,
    RoutekitError,
    StreamInterruptedError,
)
from routekit.types import Chunk, Message, Outcome, RouteResult, Usage

Keep = Callable[[RouteResult, tuple[dict[str, Any], ...] | None], Awaitable[None]]
"""Gets the result and its deltas; no deltas: not to be kept for others."""


class RunningStream(Protocol):
    """What the engine hands out: chunks until None, then `result`. `abandon` never waits."""

    result: RouteResult | None

    async def next(self) -> Chunk | None: ...

    def abandon(self) -> None: ...


class LiveStream:
    """An upstream stream past its commit point.

    A failure now is a `StreamInterruptedError`, unless the request wants the answer continued by
    somebody else, or begun again. Another thread or task may abandon the stream while it is being
    read; whoever ends it first does so alone.
    """

    def __init__(
        self,
        io: IO,
        run: Run,
        opened: Opened,
        asking: Asking,
        keep: Keep,
        failed: Callable[[BaseException], None],
        traffic: Traffic,
    ) -> None:
        self._traffic = traffic
        self._io = io
        self._run = run
        self._asking = asking
        self._keep = keep
        self._failed = failed
        self._over = threading.Lock()  # taken once, by whoever ends the stream
        self._resumed = False
        self._part = self._part_of(opened)
        self._chunks = list(opened.chunks)
        self._ready = deque(opened.chunks)
        self.result: RouteResult | None = None
        self.reader = io.me()
        self._cut: StreamInterruptedError | None = None
        traffic.opened(self)

    async def next(self) -> Chunk | None:
        """The next chunk, or None at the end.

        Raises:
            StreamInterruptedError: the upstream failed after content was handed over.
        """
        while True:
            if self._ready:
                return self._ready.popleft()
            part = self._part
            if self._over.locked() or part.claimed():
                self._nothing()
                return None
            self.reader = self._io.me()
            try:
                chunk = await self._read(part)
            except Exception as error:
                if not part.claim():
                    self._nothing()
                    return None
                await self._broken(part, error)
                continue
            except BaseException:
                self.abandon()
                raise
            if part.claimed():  # abandoned meanwhile, when a stream that is being read cannot be closed
                self._io.discard(part.handle)
                self._nothing()
                return None
            if chunk is None:
                if part.claim():
                    await self._finish(part)
                continue
            part.chunks.append(chunk)
            self._hand_over(part, chunk)

    async def _read(self, part: _Part) -> Chunk | None:
        """The next chunk within its limits. Raises ProviderTimeoutError where one is passed."""
        deadline = self._run.deadline
        left_s = deadline.remaining_s()
        limit_s = part.idle_s if left_s is None or (part.idle_s is not None and part.idle_s < left_s) else left_s
        asked_s = deadline.elapsed_s()
        try:
            chunk = await self._io.next(part.handle, limit_s)
        except TimeoutError:
            if any(chunk.finish_reason for chunk in part.chunks[-2:]):  # only its tail is missing
                self._io.discard(part.handle)
                return None
            if not deadline.expired and limit_s is not None:
                raise ProviderTimeoutError(f"nothing came for {limit_s:.1f} s in the middle of the stream") from None
            raise
        if chunk is None:
            return None
        chunk = part.incoming.read(chunk)
        if deadline.expired:
            raise TimeoutError
        now_s = deadline.elapsed_s()
        part.permit.gap_s = max(part.permit.gap_s or 0.0, now_s - asked_s)
        if part.permit.renew_at_s is not None and now_s >= part.permit.renew_at_s:
            await self._asking.renew(self._io, self._run, part.permit)
        if part.pace is not None:
            part.pace.add(chunk, now_s)
            if not chunk.finish_reason and (why := part.pace.too_slow(now_s)) is not None:
                raise ProviderTimeoutError(f"the stream gave {why}")
        return chunk

    def _hand_over(self, part: _Part, chunk: Chunk) -> None:
        if part.joint is not None and not part.joint.settled and chunk.text:
            text = part.joint.feed(chunk.text)
            if text != chunk.text:
                chunk = _with_text(chunk, text)
        self._chunks.append(chunk)
        self._ready.append(chunk)

    def abandon(self) -> None:
        """Gives the stream up: closes the connection and pays for what was used. Idempotent."""
        if not self._ends():
            return
        self._ready.clear()
        part = self._part
        if part.claim():
            self._leave(part)
        self._failed(GeneratorExit("the stream was abandoned by its reader"))

    def cut(self) -> None:
        """Like `abandon`, where the reader did not ask for it: reading on raises StreamInterruptedError. Idempotent."""
        if not self._ends():
            return
        part = self._part
        if part.claim():
            self._leave(part)
        name = part.permit.candidate.name
        self._cut = StreamInterruptedError(
            f"the stream from {name} was cut: the router was closed", partial=self._result(part, self._message(), None)
        )
        self._failed(self._cut)

    def disown(self) -> None:
        """In a forked child: the parent reads and pays on; reading the child's copy raises. Idempotent."""
        if self._over.acquire(blocking=False):
            self._cut = StreamInterruptedError(
                "this stream belongs to the process that this one was forked from; ask anew here",
                partial=self._result(self._part, self._message(), None),
            )

    def _ends(self) -> bool:
        """Whether the caller is the first to end the stream."""
        if not self._over.acquire(blocking=False):
            return False
        self._traffic.closed(self)
        return True

    def _nothing(self) -> None:
        """The end, for who reads on after it."""
        if self._cut is not None:
            raise self._cut

    def _leave(self, part: _Part) -> None:
        self._io.discard(part.handle)
        usage, part.permit.doubt = counted_stream(part.permit.candidate, part.chunks)
        self._asking.ended(self._run, part.permit, "cancelled", usage)

    async def _finish(self, part: _Part) -> None:
        reason = next((chunk.finish_reason for chunk in reversed(part.chunks) if chunk.finish_reason), None)
        if reason is None:
            await self._broken(part, ProviderUnavailableError("the stream ended without a finish reason"))
            return
        if part.joint is not None and (text := part.joint.end()):
            rest = Chunk({"content": text})
            self._chunks.append(rest)
            self._ready.append(rest)
        try:
            message = message_of(self._chunks)
        except Exception as error:
            malformed = InvalidResponseError("the pieces of the stream do not make a message")
            malformed.__cause__ = error
            await self._broken(part, malformed)
            return
        fault = self._asking.fault(self._run, message, reason, None)
        if fault is not None and fault.fall_back:
            await self._broken(part, fault)  # handed over already, but no answer to build on
            return
        self._end(part, "ok")
        if not self._ends():
            return
        try:
            result = self._result(part, message, reason)
            # What two deployments said together is nobody's answer to keep.
            deltas = None if self._resumed else tuple(dict(copied(c.delta)) for c in self._chunks if c.delta)
        except BaseException as error:  # whoever waits for this answer, or counts requests, is told of its end
            self._failed(error)
            raise
        self.result = result
        await self._keep(result, deltas)

    async def _broken(self, part: _Part, cause: Exception) -> None:
        """Ends a claimed part that failed, and goes on with another one where that is wanted and possible.

        Raises:
            StreamInterruptedError: it is not.
        """
        self._io.discard(part.handle)
        failure = self._failure(part, cause)
        self._end(part, "interrupted", failure)
        chain = self._next_chain(part, failure)
        if chain is not None and not self._over.locked():
            try:
                opened = await self._asking.open(self._io, self._run, chain)
            except RoutekitError as refused:
                self._run.notes.append(f"nobody could take the broken stream up ({type(refused).__name__})")
            except BaseException:
                self.abandon()
                raise
            else:
                self._go_on(part, opened)
                return
        if not self._ends():
            return
        partial = self._result(part, self._message(), None)
        error = StreamInterruptedError(
            f"the stream from {part.permit.candidate.name} broke after {len(partial.text)} characters: {failure}",
            partial=partial,
        )
        error.__cause__ = failure
        self._failed(error)
        raise error

    def _next_chain(self, part: _Part, failure: ProviderError) -> Chain | None:
        mode = self._asking.on_interrupt(self._run)
        if mode == "error" or not failure.fall_back or self._run.deadline.expired:
            return None
        broken = Failure(part.permit.place, failure)
        if mode == "restart":
            return part.chain.afresh(broken)
        said = continuable(self._run.request, self._chunks)
        return None if said is None else part.chain.going_on(broken, said)

    def _go_on(self, part: _Part, opened: Opened) -> None:
        before, after = part.permit.candidate.name, opened.permit.candidate.name
        said = opened.chain.said
        chunks = list(opened.chunks)
        self._part = new = self._part_of(opened, Joint(said) if said else None)
        if self._over.locked():  # abandoned while the other one was asked
            if new.claim():
                self._leave(new)
            return
        self._resumed = True
        self._run.notes.append(f"{after} {'went on' if said else 'began again'} where the stream from {before} broke")
        if not said:
            self._chunks.clear()
            first = chunks[0] if chunks else Chunk()
            restart = Chunk(first.delta, first.finish_reason, first.usage, first.model, first.logprobs, restart=True)
            chunks[:1] = [restart]
        for chunk in chunks:
            self._hand_over(new, chunk)

    def _failure(self, part: _Part, cause: Exception) -> ProviderError:
        deployment = part.permit.candidate.deployment
        failure = as_provider_error(cause, deployment)
        if failure is None or (isinstance(cause, TimeoutError) and self._run.deadline.expired):
            failure = ProviderTimeoutError(
                "the deadline was over in the middle of the stream", deployment=deployment.name
            )
            failure.blame = "request"
        return failure

    def _message(self) -> Message:
        try:
            return message_of(self._chunks)
        except Exception:
            return {"role": "assistant", "content": "".join(str(chunk.text) for chunk in self._chunks)}

    def _part_of(self, opened: Opened, joint: Joint | None = None) -> _Part:
        now_s = self._run.deadline.elapsed_s()
        least = self._asking.min_tokens_per_s
        idle_s = opened.idle_s
        if least is not None:
            opened.idle_s = PACE_WINDOW_S if idle_s is None else min(idle_s, PACE_WINDOW_S)
        return _Part(opened, joint, None if least is None else Pace(least, now_s))

    def _end(self, part: _Part, outcome: Outcome, failure: ProviderError | None = None) -> None:
        usage, part.permit.doubt = self._counted(part)
        self._asking.ended(self._run, part.permit, outcome, usage, failure)

    @staticmethod
    def _counted(part: _Part) -> Counted:
        try:
            message = message_of(part.chunks)
        except Exception:
            return counted_stream(part.permit.candidate, part.chunks)
        usage: Usage | None = next((chunk.usage for chunk in reversed(part.chunks) if chunk.usage is not None), None)
        pieces = 0 if usage is not None else sum(1 for chunk in part.chunks if chunk.has_content)
        return counted(usage, part.permit.candidate, message, pieces)

    def _result(self, part: _Part, message: Message, reason: str | None) -> RouteResult:
        chunks = self._chunks
        model = next((chunk.model for chunk in part.chunks if chunk.model), None)
        return result_of(
            self._run,
            message, reason, self._counted(part).usage, part.permit.candidate.deployment, model, part.permit.ttft_s,
            logprobs=logprobs_of_all(chunks),
        )  # fmt: skip
