"""Streams: live ones after their commit point, replayed ones, and the faces they show to callers."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import Any, Protocol, Self

from routekit.engine.asking import Asking, Opened, as_provider_error, usage_so_far
from routekit.engine.assemble import chunks_of, message_of
from routekit.engine.billing import usage_or_estimate
from routekit.engine.io import IO, run_sync
from routekit.engine.run import Run
from routekit.errors import ProviderTimeoutError, ProviderUnavailableError, StreamInterruptedError
from routekit.types import CacheEntry, Chunk, Outcome, RouteResult, Usage

Keep = Callable[[RouteResult, tuple[dict[str, Any], ...]], Awaitable[None]]


class RunningStream(Protocol):
    """What the engine hands out: chunks until None, then `result`. `abandon` never waits."""

    result: RouteResult | None

    async def next(self) -> Chunk | None: ...

    def abandon(self) -> None: ...


class LiveStream:
    """An upstream stream past its commit point. A failure now is a `StreamInterruptedError`."""

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
        self._handed = 0
        self._open = True
        self.result: RouteResult | None = None

    async def next(self) -> Chunk | None:
        """The next chunk, or None at the end.

        Raises:
            StreamInterruptedError: the upstream failed after content was handed over.
        """
        if self._ready:
            self._handed += 1
            return self._ready.popleft()
        if not self._open:
            return None
        try:
            chunk = await self._io.next(self._handle)
        except Exception as error:
            raise self._interrupted(error)  # noqa: B904 - it brings its own cause
        except BaseException:
            self.abandon()
            raise
        if chunk is None:
            await self._finish()
            return None
        if self._run.deadline.expired:
            raise self._interrupted(TimeoutError())
        self._chunks.append(chunk)
        self._handed += 1
        return chunk

    def abandon(self) -> None:
        """Gives the stream up: closes the connection and pays for what was used. Idempotent."""
        if not self._open:
            return
        self._open = False
        self._ready.clear()
        self._io.discard(self._handle)
        self._asking.ended(self._run, self._permit, "cancelled", usage_so_far(self._permit.candidate, self._chunks))
        self._failed(GeneratorExit("the stream was abandoned by its reader"))

    async def _finish(self) -> None:
        reason = next((chunk.finish_reason for chunk in reversed(self._chunks) if chunk.finish_reason), None)
        if reason is None:
            raise self._interrupted(ProviderUnavailableError("the stream ended without a finish reason"))
        self._open = False
        result = self._end("ok", reason)
        self.result = result
        deltas = tuple(dict(chunk.delta) for chunk in self._chunks if chunk.delta)
        await self._keep(result, deltas)

    def _interrupted(self, cause: Exception) -> StreamInterruptedError:
        self._open = False
        self._io.discard(self._handle)
        deployment = self._permit.candidate.deployment
        failure = as_provider_error(cause, deployment)
        if failure is None or (isinstance(cause, TimeoutError) and self._run.deadline.expired):
            failure = ProviderTimeoutError(
                "the deadline was over in the middle of the stream", deployment=deployment.name
            )
            failure.blame = "request"
        partial = self._end("interrupted", None, failure)
        error = StreamInterruptedError(
            f"the stream from {deployment.name} broke after {len(partial.text)} characters: {failure}", partial=partial
        )
        error.__cause__ = failure
        self._failed(error)
        return error

    def _end(self, outcome: Outcome, reason: str | None, failure: Any = None) -> RouteResult:
        chunks, candidate = self._chunks, self._permit.candidate
        message = message_of(chunks)
        usage: Usage | None = next((chunk.usage for chunk in reversed(chunks) if chunk.usage is not None), None)
        calls = message.get("tool_calls") or ()
        tool_text = "".join((call.get("function") or {}).get("arguments") or "" for call in calls)
        content = message.get("content")
        usage = usage_or_estimate(usage, candidate, content if isinstance(content, str) else "", tool_text)
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
