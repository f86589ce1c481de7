"""litellm's streams, within their times."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from time import monotonic
from typing import TYPE_CHECKING, Any

from routekit.builtin.providers.litellm.convert import _beside, _hidden, _plain, usage_of
from routekit.errors import InvalidResponseError, ProviderTimeoutError
from routekit.plugin import (
    ProviderCall,
)
from routekit.types import Chunk

if TYPE_CHECKING:
    from routekit.builtin.providers.litellm.provider import LitellmProvider


class _AsyncStream:
    """An asynchronous stream that can be left at any time, from code that may not wait, too."""

    def __init__(self, provider: LitellmProvider, call: ProviderCall) -> None:
        self._provider, self._call = provider, call
        self._clock = _StreamClock(call)
        self._source: Any = None
        self._reader: _ChunkReader | None = None
        self._pending: list[Chunk] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing: asyncio.Task[None] | None = None
        self._done = False

    def __aiter__(self) -> _AsyncStream:
        return self

    async def __anext__(self) -> Chunk:
        while not self._pending:
            if self._done:
                raise StopAsyncIteration
            try:
                async with asyncio.timeout(self._clock.left()):
                    await self._read_on()
            except Exception as error:
                failure = self._provider._failure(error, self._call.deployment, self._call)
            except BaseException:  # cancelled
                self.close()
                raise
            else:
                continue
            await self.aclose()
            raise failure
        chunk = self._pending.pop(0)
        self._clock.saw(chunk)
        return chunk

    async def _read_on(self) -> None:
        if self._reader is None:
            self._loop = asyncio.get_running_loop()
            request = self._provider._request(self._call, stream=True)
            litellm = await self._provider._ready()
            self._source = await litellm.acompletion(**request)
            self._reader = _ChunkReader(self._source)
        try:
            raw = await anext(self._source)
        except StopAsyncIteration:
            self._reader.end()
            self._done = True
            await _aclose(self._source)
            return
        self._pending.extend(self._reader.read(raw))

    async def aclose(self) -> None:
        """Frees the connection. May be called at any time and again."""
        self._done = True
        self._pending.clear()
        source, self._source = self._source, None
        await _aclose(source)

    def close(self) -> None:
        """Like `aclose`, as a task of the stream's event loop: it does not wait."""
        self._done = True
        loop = self._loop
        if self._source is None or loop is None or loop.is_closed():
            return

        def start() -> None:
            self._closing = loop.create_task(self.aclose())

        loop.call_soon_threadsafe(start)


class _ChunkReader:
    """Turns litellm's chunks into ours, and notices what litellm covers up.

    Where a provider breaks off without a finish reason, litellm adds "stop"; where it reports no
    usage, litellm counts. The first becomes an error, the second is marked as estimated.
    """

    def __init__(self, source: Any) -> None:
        self._source = source
        self._finished = False

    def read(self, raw: Any) -> Iterator[Chunk]:
        usage = None
        if (reported := getattr(raw, "usage", None)) is not None:
            tier = getattr(raw, "service_tier", None)
            usage = usage_of(_plain(reported), tier, estimated=self._counted_by_litellm())
        choice: Any = next((choice for choice in raw.choices if not getattr(choice, "index", 0)), None)
        delta = _plain(choice.delta) if choice is not None and choice.delta is not None else {}
        reason = getattr(choice, "finish_reason", None)
        if reason and not self._ended_by_provider():
            raise InvalidResponseError("the stream broke off without a finish reason")
        self._finished = self._finished or bool(reason)
        logprobs = _plain(choice.logprobs) if getattr(choice, "logprobs", None) is not None else None
        delta.update(_beside(raw))
        if delta or reason or usage is not None:
            # Chunks repeat the requested model; the one that served stands in the hidden parameters.
            yield Chunk(delta, reason, usage, _hidden(raw).get("provider_response_model"), logprobs)

    def end(self) -> None:
        if not self._finished:
            raise InvalidResponseError("the stream ended without a finish reason")

    def _ended_by_provider(self) -> bool:
        source = self._source
        return bool(getattr(source, "received_finish_reason", True) or getattr(source, "intermittent_finish_reason", 0))

    def _counted_by_litellm(self) -> bool:
        seen: list[Any] = getattr(self._source, "chunks", None) or []
        return bool(seen) and not any(getattr(chunk, "usage", None) for chunk in seen)


class _StreamClock:
    """How long a stream may still take: as a whole, and until its first content."""

    def __init__(self, call: ProviderCall) -> None:
        now = monotonic()
        self._whole = None if call.timeout_s is None else now + call.timeout_s
        self._first = None if call.first_token_timeout_s is None else now + call.first_token_timeout_s

    def saw(self, chunk: Chunk) -> None:
        if chunk.has_content:
            self._first = None

    def left(self) -> float | None:
        """Seconds until the nearer of the two limits, None without any."""
        limits = [limit for limit in (self._whole, self._first) if limit is not None]
        return max(0.001, min(limits) - monotonic()) if limits else None

    def check(self) -> None:
        now = monotonic()
        if self._first is not None and now > self._first:
            raise ProviderTimeoutError("no content arrived within the limit for the first token")
        if self._whole is not None and now > self._whole:
            raise ProviderTimeoutError("the stream took longer than its time limit")


def _streams(source: Any) -> Iterator[Any]:
    """What holds the connection: litellm's own `aclose` leaves the innermost open for some providers."""
    inner = getattr(source, "completion_stream", None)
    for stream in (getattr(inner, "streaming_response", None), inner, source):
        if stream is not None:
            yield stream


def _close(source: Any) -> None:
    for stream in _streams(source):
        if (close := getattr(stream, "close", None)) is not None:
            try:
                close()
            except Exception:
                logging.getLogger("routekit").debug("closing a stream failed", exc_info=True)


async def _aclose(source: Any) -> None:
    for stream in list(_streams(source)):
        if (close := getattr(stream, "aclose", None) or getattr(stream, "close", None)) is not None:
            try:
                result = close()
                if hasattr(result, "__await__"):
                    await result
            except Exception:
                logging.getLogger("routekit").debug("closing a stream failed", exc_info=True)
