"""Streams: live ones after their commit point, replayed ones, and the faces they show to callers."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import Any, Protocol, Self

from routekit.engine.asking import Asking, Opened, as_provider_error, usage_so_far
from routekit.engine.assemble import arguments_of, chunks_of, message_of
from routekit.engine.billing import usage_or_estimate
from routekit.engine.io import IO, run_sync
from routekit.engine.run import Run, copied
from routekit.errors import (
    InvalidResponseError,
    ProviderTimeoutError,
    ProviderUnavailableError,
    StreamInterruptedError,
)
from routekit.types import CacheEntry, Chunk, Message, Outcome, RouteResult, Usage

Keep = Callable[[RouteResult, tuple[dict[str, Any], ...]], Awaitable[None]]


class RunningStream(Protocol):
    """What the engine hands out: chunks until None, then `result`. `abandon` never waits."""

    result: RouteResult | None

    async def next(self) -> Chunk | None: ...

    def abandon(self) -> None: ...


class LiveStream:
    """An upstream stream past its commit point. A failure now is a `StreamInterruptedError`.

    Another thread or task may abandon it while it is being read; whoever ends it first does so alone.
    """

    def __init__(
        self,
        io: IO,
        run: Run,
        opened: Opened,
        asking: Asking,
        keep: Keep,
        failed: Callable[[BaseException], None],
    ) -> None:
        self._io = io
        self._run = run
        self._handle = opened.handle
        self._permit = opened.permit
        self._chunks = opened.chunks
        self._ready = deque(opened.chunks)
        self._asking = asking
        self._keep = keep
        self._failed = failed
        self._ended = threading.Lock()  # taken once, by whoever ends the attempt; nobody waits for it
        self.result: RouteResult | None = None

    async def next(self) -> Chunk | None:
        """The next chunk, or None at the end.

        Raises:
            StreamInterruptedError: the upstream failed after content was handed over.
        """
        if self._ready:
            return self._ready.popleft()
        if self._ended.locked():
            return None
        try:
            chunk = await self._io.next(self._handle, self._run.deadline.remaining_s())
            if chunk is not None and not isinstance(chunk, Chunk):
                raise TypeError(f"a stream yields Chunk objects, not {type(chunk).__name__}")
        except Exception as error:
            if not self._claim():
                return None
            raise self._interrupted(error)  # noqa: B904 - it brings its own cause
        except BaseException:
            self.abandon()
            raise
        if self._ended.locked():  # abandoned meanwhile, when a stream that is being read cannot be closed
            self._io.discard(self._handle)
            return None
        if chunk is None:
            if self._claim():
                await self._finish()
            return None
        if self._run.deadline.expired and self._claim():
            raise self._interrupted(TimeoutError())
        self._chunks.append(chunk)
        return chunk

    def _claim(self) -> bool:
        return self._ended.acquire(blocking=False)

    def abandon(self) -> None:
        """Gives the stream up: closes the connection and pays for what was used. Idempotent."""
        if not self._claim():
            return
        self._ready.clear()
        self._io.discard(self._handle)
        self._asking.ended(self._run, self._permit, "cancelled", usage_so_far(self._permit.candidate, self._chunks))
        self._failed(GeneratorExit("the stream was abandoned by its reader"))

    async def _finish(self) -> None:
        reason = next((chunk.finish_reason for chunk in reversed(self._chunks) if chunk.finish_reason), None)
        if reason is None:
            raise self._interrupted(ProviderUnavailableError("the stream ended without a finish reason"))
        try:
            message = message_of(self._chunks)
        except Exception as error:
            malformed = InvalidResponseError("the pieces of the stream do not make a message")
            malformed.__cause__ = error
            raise self._interrupted(malformed)  # noqa: B904 - it brings its own cause
        result = self._end("ok", reason, message)
        self.result = result
        deltas = tuple(dict(copied(chunk.delta)) for chunk in self._chunks if chunk.delta)
        await self._keep(result, deltas)

    def _interrupted(self, cause: Exception) -> StreamInterruptedError:
        self._io.discard(self._handle)
        deployment = self._permit.candidate.deployment
        failure = as_provider_error(cause, deployment)
        if failure is None or (isinstance(cause, TimeoutError) and self._run.deadline.expired):
            failure = ProviderTimeoutError(
                "the deadline was over in the middle of the stream", deployment=deployment.name
            )
            failure.blame = "request"
        try:
            message = message_of(self._chunks)
        except Exception:
            message = {"role": "assistant", "content": "".join(str(chunk.text) for chunk in self._chunks)}
        partial = self._end("interrupted", None, message, failure)
        error = StreamInterruptedError(
            f"the stream from {deployment.name} broke after {len(partial.text)} characters: {failure}", partial=partial
        )
        error.__cause__ = failure
        self._failed(error)
        return error

    def _end(self, outcome: Outcome, reason: str | None, message: Message, failure: Any = None) -> RouteResult:
        chunks, candidate = self._chunks, self._permit.candidate
        usage: Usage | None = next((chunk.usage for chunk in reversed(chunks) if chunk.usage is not None), None)
        content = message.get("content")
        usage = usage_or_estimate(usage, candidate, content if isinstance(content, str) else "", arguments_of(message))
        self._asking.ended(self._run, self._permit, outcome, usage, failure)
        model = next((chunk.model for chunk in chunks if chunk.model), None)
        logprobs = [chunk.logprobs["content"] for chunk in chunks if chunk.logprobs and chunk.logprobs.get("content")]
        return self._run.result(
            message, reason, usage, candidate.deployment, model, self._permit.ttft_s,
            logprobs={"content": [entry for part in logprobs for entry in part]} if logprobs else None,
        )  # fmt: skip


class ReplayStream:
    """An answer that is already whole, handed out as a stream."""

    def __init__(self, chunks: Iterable[Chunk], result: RouteResult) -> None:
        self._chunks = iter(chunks)
        self._result = result
        self.result: RouteResult | None = None

    @classmethod
    def of_result(cls, result: RouteResult) -> ReplayStream:
        """From a result that was made whole before it was handed out."""
        entry = CacheEntry(
            message=result.message, finish_reason=result.finish_reason, usage=result.usage, cost=result.cost,
            model=result.model, deployment="", created_at=0.0,
        )  # fmt: skip
        return cls(chunks_of(entry), result)

    async def next(self) -> Chunk | None:
        chunk = next(self._chunks, None)
        if chunk is None:
            self.result = self._result
        return chunk

    def abandon(self) -> None:
        self._chunks = iter(())


class Stream:
    """What `Router.stream` returns: iterate it, best inside ``with``. `result` is there after the end.

    The request starts when the first chunk is asked for, or on entering ``with``.
    """

    def __init__(self, start: Callable[[], Any]) -> None:
        self._start: Callable[[], Any] | None = start
        self._running: RunningStream | None = None
        self._over = False

    @property
    def result(self) -> RouteResult:
        """The whole story.

        Raises:
            RuntimeError: the stream was not read to its end.
        """
        if self._running is None or self._running.result is None:
            raise RuntimeError("the stream has no result before its end; read all of its chunks first")
        return self._running.result

    def __iter__(self) -> Iterator[Chunk]:
        return self

    def __next__(self) -> Chunk:
        if self._over:
            raise StopIteration
        running = self._running or self._begin()
        try:
            running.next().send(None)
        except StopIteration as stop:
            if stop.value is not None:
                return stop.value  # type: ignore[no-any-return]  # StopIteration does not carry its type
            self._over = True
            raise StopIteration from None
        raise RuntimeError("the synchronous core was suspended: something waited outside its IO")

    def _begin(self) -> RunningStream:
        start, self._start = self._start, None
        if start is None:
            raise RuntimeError("the stream could not be opened before, or was closed")
        running: RunningStream = run_sync(start())
        self._running = running
        return running

    def close(self) -> None:
        """Gives the stream up; what was used so far is paid."""
        self._over = True
        self._start = None
        if self._running is not None:
            self._running.abandon()

    def __enter__(self) -> Self:
        if self._running is None:
            self._begin()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()


class AsyncStream:
    """What `Router.astream` returns: ``async for``, best inside ``async with``. See `Stream`."""

    def __init__(self, start: Callable[[], Any]) -> None:
        self._start: Callable[[], Any] | None = start
        self._running: RunningStream | None = None
        self._over = False

    @property
    def result(self) -> RouteResult:
        """The whole story.

        Raises:
            RuntimeError: the stream was not read to its end.
        """
        if self._running is None or self._running.result is None:
            raise RuntimeError("the stream has no result before its end; read all of its chunks first")
        return self._running.result

    def __aiter__(self) -> AsyncIterator[Chunk]:
        return self

    async def __anext__(self) -> Chunk:
        if self._over:
            raise StopAsyncIteration
        running = self._running or await self._begin()
        chunk = await running.next()
        if chunk is None:
            self._over = True
            raise StopAsyncIteration
        return chunk

    async def _begin(self) -> RunningStream:
        start, self._start = self._start, None
        if start is None:
            raise RuntimeError("the stream could not be opened before, or was closed")
        running: RunningStream = await start()
        self._running = running
        if self._over:  # closed while it was being opened
            running.abandon()
        return running

    def close(self) -> None:
        """Gives the stream up without waiting; what was used so far is paid."""
        self._over = True
        self._start = None
        if self._running is not None:
            self._running.abandon()

    async def aclose(self) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        if self._running is None:
            await self._begin()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()
