"""A stream of chunks, read in an event loop."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections import deque
from collections.abc import Mapping

import aiohttp

from routekit.builtin.providers.openai_compatible.async_client import _FAILURES, AsyncClient, _leave
from routekit.builtin.providers.openai_compatible.options import redaction
from routekit.builtin.providers.openai_compatible.sse import ChunkReader
from routekit.builtin.providers.openai_compatible.wire import kept_headers
from routekit.errors import ProviderError
from routekit.plugin import Chunk, ProviderCall, reaper


class AsyncStream:
    """The chunks of one answer. `close` frees the connection at once and never waits."""

    __slots__ = (
        "_body",
        "_call",
        "_client",
        "_first_by",
        "_headers",
        "_loop",
        "_over",
        "_reader",
        "_ready",
        "_response",
        "_tail_by",
        "_tail_s",
    )

    def __init__(self, client: AsyncClient, call: ProviderCall, body: bytes) -> None:
        self._client = client
        self._call = call
        self._body = body
        self._reader = ChunkReader(call, client.limit, redaction(client.endpoint, call.headers))
        self._ready: deque[Chunk] = deque()
        self._headers: Mapping[str, str] = {}
        self._response: aiohttp.ClientResponse | None = None
        self._over = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._first_by: float | None = None
        self._tail_by: float | None = None
        self._tail_s = 0.0
        reaper.start()

    def __aiter__(self) -> AsyncStream:
        return self

    async def __anext__(self) -> Chunk:
        ready = self._ready
        if ready:
            return ready.popleft()
        while not self._over:
            try:
                received = await self._receive()
            except BaseException:
                self.close()
                raise
            reader = self._reader
            if received:
                ready.extend(reader.feed(received))
            else:
                self.close()
                ready.extend(reader.end())
            if self._headers and ready:
                ready[0].headers, self._headers = self._headers, {}
            if reader.error is not None:
                self.close()
            if ready:
                return ready.popleft()
        error, self._reader.error = self._reader.error, None
        if error is not None:
            raise error
        raise StopAsyncIteration

    async def _receive(self) -> bytes:
        """The next bytes; none at the end, or once there is nothing to wait for."""
        reader = self._reader
        failure: ProviderError
        try:
            if self._response is None:
                await self._open()
            assert self._response is not None
            readany = self._response.content.readany
            if reader.content and not reader.finished:
                received = await readany()
            else:
                async with asyncio.timeout_at(self._patience()):
                    received = await readany()
            return received
        except _FAILURES as error:
            if reader.finished:  # the answer is complete; only its tail is missing
                return b""
            failure = self._client.failure(error, self._call.deployment.name, self._call.headers)
        raise failure

    def _patience(self) -> float | None:
        """Until when to wait now, in the loop's time."""
        if not self._reader.finished:
            return self._first_by
        now = asyncio.get_running_loop().time()
        tail_s = self._reader.tail_s(self._client.endpoint.options.stream_usage)
        if self._tail_by is None or tail_s != self._tail_s:
            self._tail_s, self._tail_by = tail_s, now + tail_s
        return self._tail_by

    async def _open(self) -> None:
        call, client = self._call, self._client
        first = call.first_token_timeout_s
        if first is not None:
            self._first_by = asyncio.get_running_loop().time() + first
        async with asyncio.timeout_at(self._first_by):
            response = await client.send(
                self._body,
                call.timeout_s,
                silence_s=client.endpoint.options.read_timeout_s,
                headers=call.headers,
            )
            self._response, self._body = response, b""
            self._loop = asyncio.get_running_loop()
            name = call.deployment.name
            if response.status != 200:
                raise client.refusal(response, await client.read(response, name), name, call, call.headers)
            self._reader.expect(response.headers.get("Content-Encoding"))
            self._headers = kept_headers(response.headers.items())

    def close(self) -> None:
        """Ends the stream. A connection whose answer was read to the end goes back to the pool."""
        self._over = True
        response = self._response
        if response is not None:
            _leave(response)

    async def aclose(self) -> None:
        self.close()

    def __del__(self) -> None:
        response = self._response
        if response is not None and not response.closed and self._loop is not None:
            reaper.later(functools.partial(_leave_there, self._loop, response))


def _leave_there(loop: asyncio.AbstractEventLoop, response: aiohttp.ClientResponse) -> None:
    """Ends a response where it lives."""
    if loop.is_running():
        with contextlib.suppress(RuntimeError):  # closed in this very moment
            loop.call_soon_threadsafe(_leave, response)
            return
    _leave(response)
