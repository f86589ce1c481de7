"""Guards at work: what they say of a request, of its answers, and of streams piece by piece."""

from __future__ import annotations

import dataclasses
import traceback
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, ParamSpec

from routekit.engine.io.port import IO
from routekit.engine.result import final_decision
from routekit.engine.run import Run
from routekit.engine.stream.live import RunningStream
from routekit.errors import GuardBlockedError, GuardUnavailableError, RoutekitError, StreamInterruptedError
from routekit.plugin import Guard, GuardSession, GuardVerdict
from routekit.types import Chunk, Message, RouteResult
from routekit.types.empty import EMPTY

P = ParamSpec("P")


class Guarding:
    """The guards of a router, in their order."""

    def __init__(self, guards: Sequence[tuple[str, Guard]]) -> None:
        self._guards = tuple(guards)
        self._readers = tuple(pair for pair in guards if pair[1].checks_responses)

    async def request(self, io: IO, run: Run) -> None:
        """Guards look at the request; they may change it, narrow who may serve it, or refuse it."""
        for name, guard in self._guards:
            verdict = await _asked(io, name, "nothing was sent", guard.check_request, guard.acheck_request, run.request)
            run.findings += [dataclasses.replace(finding, guard=name) for finding in verdict.findings]
            if verdict.action == "block":
                raise GuardBlockedError(guard=name, rule=verdict.rule, where="request")
            if verdict.session is not None:
                run.sessions.append((name, verdict.session))
            changes = _changes(verdict)
            if verdict.action == "redact" and not changes:
                raise GuardUnavailableError(
                    f"guard {name!r} redacts without saying what is left; guards fail closed, nothing was sent"
                )
            if changes:
                run.request = dataclasses.replace(run.request, **changes)
                run.notes.append(f"guard {name} redacted the request ({verdict.rule})")
            if verdict.action == "require":
                both = run.request.requirements | verdict.requirements
                run.request = dataclasses.replace(run.request, requirements=both)
                run.notes.append(f"guard {name} narrowed the candidates ({verdict.rule})")

    def reads_answers(self, run: Run) -> bool:
        """Whether anything is done with the answers to this request."""
        return bool(self._readers or run.sessions)

    def needs_whole(self, run: Run) -> bool:
        """Whether a stream must be whole before any of it is handed out."""
        if not self._readers:
            return False
        reading = {name for name, _ in run.sessions}
        return any(guard.buffers or name not in reading for name, guard in self._readers)

    async def answer(self, io: IO, run: Run, message: Message) -> Message:
        """Guards look at the answer; they may change or refuse it. Sessions come last, the newest first: what the
        last guard put into the request is the first to be put back."""
        reading = {name for name, _ in run.sessions}
        for name, guard in self._readers:
            if name in reading:
                continue
            verdict = await _asked(
                io, name, "the answer is withheld", guard.check_response, guard.acheck_response, run.request, message
            )
            run.findings += [dataclasses.replace(finding, guard=name) for finding in verdict.findings]
            if verdict.action in ("block", "require"):
                raise GuardBlockedError(guard=name, rule=verdict.rule, where="response")
            if verdict.action == "redact":
                if not verdict.messages:
                    raise GuardUnavailableError(
                        f"guard {name!r} redacts without saying what is left; guards fail closed"
                    )
                message = verdict.messages[0]
                run.notes.append(f"guard {name} redacted the answer ({verdict.rule})")
        for name, session in reversed(run.sessions):
            message = _guarded(name, session.message, message)
        return message

    async def result(self, io: IO, run: Run, result: RouteResult) -> RouteResult:
        """A whole answer as its caller gets it. What was derived from a message that changed goes with it."""
        if not self.reads_answers(run):
            return result
        messages = [choice.message for choice in result.choices]
        read = [await self.answer(io, run, message) for message in messages]
        note_findings(run)
        if all(after is before for after, before in zip(read, messages, strict=True)):
            return dataclasses.replace(result, decision=final_decision(run)) if run.findings else result
        return _with_messages(result, read, run)


def masked(run: Run, result: RouteResult) -> RouteResult:
    """A caller's result as observers may see it."""
    if not run.sessions:
        return result
    messages = [choice.message for choice in result.choices]
    read = messages
    for name, session in run.sessions:
        read = [_guarded(name, session.masked, message) for message in read]
    if all(after is before for after, before in zip(read, messages, strict=True)):
        return result
    return _with_messages(result, read, run)


def note_findings(run: Run) -> None:
    """What sessions found in answers goes where the other findings are; once."""
    known = set(run.findings)
    for name, session in run.sessions:
        for finding in session.findings:
            named = dataclasses.replace(finding, guard=name)
            if named not in known:
                run.findings.append(named)


def without_text(run: Run) -> None:
    """Takes the text out of a request that a guard has not let pass: nobody is to see it."""
    request = run.request
    messages: Any = tuple({"role": message.get("role"), "content": ""} for message in request.messages)
    run.request = dataclasses.replace(request, messages=messages, tools=(), params=EMPTY, metadata=EMPTY)


class GuardedStream:
    """A stream that goes through the sessions of its request: each holds back what it is not sure of yet."""

    def __init__(self, inner: RunningStream, run: Run) -> None:
        self._inner = inner
        self._run = run
        self._sessions = tuple(reversed(run.sessions))
        self._ready: deque[Chunk] = deque()
        self._ended = False
        self.result: RouteResult | None = None

    async def next(self) -> Chunk | None:
        while not self._ready:
            try:
                chunk = await self._inner.next()
            except StreamInterruptedError as error:
                if error.partial is not None:
                    error.partial = self._whole(error.partial)
                raise
            if chunk is None:
                self._flush()
                if self.result is None and self._inner.result is not None:
                    self.result = self._whole(self._inner.result)
                    continue
                return self._ready.popleft() if self._ready else None
            self._take(chunk)
        return self._ready.popleft()

    def _take(self, chunk: Chunk) -> None:
        if chunk.restart:
            self._ended = False
            for _, session in self._sessions:
                session.restarted()
        delta: Mapping[str, Any] = chunk.delta
        if delta:
            delta = self._through(0, delta)
        if chunk.finish_reason:
            self._put(delta)
            delta = EMPTY
            self._flush()
        if delta or chunk.finish_reason or chunk.usage is not None or chunk.restart or chunk.headers:
            self._ready.append(
                Chunk(
                    delta, chunk.finish_reason, chunk.usage, chunk.model,
                    chunk.logprobs if delta is chunk.delta else None, chunk.restart, chunk.headers,
                )
            )  # fmt: skip

    def _put(self, delta: Mapping[str, Any]) -> None:
        if delta:
            self._ready.append(Chunk(delta))

    def _through(self, first: int, delta: Mapping[str, Any]) -> Mapping[str, Any]:
        for name, session in self._sessions[first:]:
            delta = self._closed(name, session.feed, delta)
            if not delta:
                return EMPTY
        return delta

    def _flush(self) -> None:
        """What is held back, session by session: the later ones read what the earlier ones let go."""
        if self._ended:
            return
        self._ended = True
        for index, (name, session) in enumerate(self._sessions):
            rest = self._closed(name, _end_of, session)
            if rest:
                self._put(self._through(index + 1, rest))

    def _closed(self, name: str, read: Callable[[Any], Mapping[str, Any]], value: Any) -> Mapping[str, Any]:
        try:
            found: Mapping[str, Any] = _guarded(name, read, value)
            return found
        except BaseException:
            self._inner.abandon()
            raise

    def _whole(self, result: RouteResult) -> RouteResult:
        read = []
        for choice in result.choices:
            message = choice.message
            for name, session in self._sessions:
                message = _guarded(name, session.message, message)
            read.append(message)
        note_findings(self._run)
        return _with_messages(result, read, self._run)

    def abandon(self) -> None:
        self._ready.clear()
        self._inner.abandon()


def _end_of(session: GuardSession) -> Mapping[str, Any]:
    return session.end()


def _with_messages(result: RouteResult, messages: Sequence[Message], run: Run) -> RouteResult:
    others = tuple(
        dataclasses.replace(other, message=message, logprobs=None)
        for other, message in zip(result.others, messages[1:], strict=True)
    )
    return dataclasses.replace(result, message=messages[0], others=others, logprobs=None, decision=final_decision(run))


async def _asked(
    io: IO,
    name: str,
    so: str,
    check: Callable[P, GuardVerdict],
    acheck: Callable[P, Awaitable[GuardVerdict]],
    *args: P.args,
    **kwargs: P.kwargs,
) -> GuardVerdict:
    """A guard's verdict. What it raised is not chained: it may quote what it has read."""
    try:
        verdict: object = await io.either(check, acheck, *args, **kwargs)
        if isinstance(verdict, GuardVerdict):
            return verdict
        failed = f"TypeError: a guard returns a GuardVerdict, not {type(verdict).__name__}"
    except Exception as error:
        failed = _told(error)
    raise GuardUnavailableError(f"guard {name!r} failed ({failed}); guards fail closed, {so}")


def _guarded(name: str, read: Callable[[Any], Any], value: Any) -> Any:
    """What a session makes of a value. What it raised is not chained."""
    try:
        return read(value)
    except RoutekitError:
        raise
    except Exception as error:
        failed = _told(error)
    raise GuardUnavailableError(f"guard {name!r} failed ({failed}); guards fail closed, the answer is withheld")


def _told(error: Exception) -> str:
    """Type and place of an exception, without its text."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {frames[-1].name}, line {frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{place}"


def _changes(verdict: GuardVerdict) -> dict[str, Any]:
    """The parts of a request that a verdict replaces."""
    found: dict[str, Any] = {}
    if verdict.messages:
        found["messages"] = tuple(verdict.messages)
    if verdict.tools is not None:
        found["tools"] = tuple(verdict.tools)
    if verdict.params is not None:
        found["params"] = verdict.params
    return found
