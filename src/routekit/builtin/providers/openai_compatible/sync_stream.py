"""A stream of chunks, read in a thread."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Mapping
from time import monotonic

from routekit.builtin.providers.openai_compatible.http1 import _READ_BYTES, AnyResponse, BoundedSocket
from routekit.builtin.providers.openai_compatible.options import redaction
from routekit.builtin.providers.openai_compatible.sse import ChunkReader
from routekit.builtin.providers.openai_compatible.sync_client import _FAILURES, SyncClient
from routekit.builtin.providers.openai_compatible.wire import kept_headers
from routekit.errors import ProviderError
from routekit.plugin import Chunk, ProviderCall, reaper


class SyncStream:
    """The chunks of one answer. `close` frees the connection at once."""

    def __init__(self, client: SyncClient, call: ProviderCall, body: bytes) -> None:
        self._client = client
        self._call = call
        self._body = body
        self._reader = ChunkReader(call, client.limit, redaction(client.endpoint, call.headers))
        self._ready: deque[Chunk] = deque()
        self._headers: Mapping[str, str] = {}
        self._response: AnyResponse | None = None
        self._bounded: BoundedSocket | None = None
        self._over = False
        self._by: float | None = None
        self._first_by: float | None = None
        self._idle_by: float | None = None
        self._tail_by: float | None = None
        self._tail_s = 0.0
        reaper.start()

    def __iter__(self) -> SyncStream:
        return self

    def __next__(self) -> Chunk:
        ready = self._ready
        if ready:
            return ready.popleft()
        if self._call.idle_timeout_s is not None:
            self._idle_by = monotonic() + self._call.idle_timeout_s
        while not self._over:
            try:
                received = self._receive()
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
        raise StopIteration

    def _receive(self) -> bytes:
        """The next bytes; none at the end, or once there is nothing to wait for."""
        failure: ProviderError
        try:
            if self._response is None:
                self._open()
            assert self._response is not None
            if self._bounded is not None:
                self._bounded.settimeout(self._patience_s())
            received = self._response.read1(_READ_BYTES)
            if not received:
                self._response.release_conn()
            return received
        except _FAILURES as error:
            if self._reader.finished:  # the answer is complete; only its tail is missing
                return b""
            failure = self._client.failure(error, self._call.deployment.name, self._call.headers)
        raise failure

    def _patience_s(self) -> float:
        """How long to wait now: for silence, the first content, the tail, and never beyond the whole limit."""
        reader, now = self._reader, monotonic()
        wait_s = self._client.read_timeout_s
        if reader.finished or reader.done:
            tail_s = reader.tail_s(self._client.endpoint.options.stream_usage)
            if self._tail_by is None or tail_s != self._tail_s:
                self._tail_s, self._tail_by = tail_s, now + tail_s
            wait_s = self._tail_by - now
        elif not reader.content and self._first_by is not None:
            wait_s = min(wait_s, self._first_by - now)
        elif reader.content and self._idle_by is not None:
            wait_s = min(wait_s, self._idle_by - now)
        if self._by is not None:
            wait_s = min(wait_s, self._by - now)
        if wait_s <= 0:
            raise TimeoutError("timed out")
        return wait_s

    def _open(self) -> None:
        call, client, now = self._call, self._client, monotonic()
        if call.timeout_s is not None:
            self._by = now + call.timeout_s
        if call.first_token_timeout_s is not None:
            self._first_by = now + call.first_token_timeout_s
        response = client.send(self._body, self._patience_s(), headers=call.headers)
        self._response, self._body = response, b""
        self._bounded = getattr(response.connection, "bounded", None)
        name = call.deployment.name
        if response.status != 200:
            raise client.refusal(response, client.read(response, name), name, call, call.headers)
        self._reader.expect(response.headers.get("content-encoding"))
        self._headers = kept_headers(response.headers.items())

    def close(self) -> None:
        """Ends the stream. A connection whose answer was read to the end went back to the pool."""
        self._over = True
        response, self._response = self._response, None
        if response is not None:
            with contextlib.suppress(*_FAILURES):
                response.close()
                response.release_conn()

    def __del__(self) -> None:
        if getattr(self, "_response", None) is not None:
            reaper.later(self.close)
