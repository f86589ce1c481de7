"""The synchronous client: urllib3, one pool for all threads.

urllib3 was chosen by measurement (``benchmarks/sync_client.py``, CPU time per call against the loopback, a bare
socket being 1): http.client 5.7, urllib3 12.5, httpx 28. http.client would save 65 microseconds of a call that
takes a model seconds, and have us write pooling, TLS and proxies ourselves; httpx would cost twice as much.

Two things are added to it. A read limit of urllib3, as of any socket, holds per read, so an endpoint that
drips bytes could hold a call for ever: `BoundedSocket` turns a limit into a point in time that all reads
and writes together may not pass. And, as in the asynchronous client, a request is never sent twice: a
connection that the server closed while it was idle is found before it is used again, which urllib3 does.
"""

from __future__ import annotations

import contextlib
import io
import threading
from collections import deque
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError
from urllib3.exceptions import TimeoutError as URLLib3TimeoutError

from routekit.builtin.providers.openai_endpoint import Endpoint
from routekit.builtin.providers.openai_errors import classify
from routekit.builtin.providers.openai_stream import GRACE_S, TAIL_S, ChunkReader
from routekit.builtin.providers.openai_wire import ERROR_BODY_BYTES, Body, kept_headers
from routekit.errors import ProviderError, ProviderTimeoutError, ProviderUnavailableError
from routekit.plugin import Chunk, ProviderCall

_IDLE_S = 60.0
"""Connections unused for this long are dropped: a firewall between may have forgotten them without a word."""

_READ_BYTES = 65_536
_FAILURES = (HTTPError, OSError, ValueError, AttributeError)
"""The last two are what a pool or response says that another thread closed."""


class BoundedSocket:
    """A socket whose timeout is a deadline: `settimeout(t)` bounds all that follows, not each read, to t seconds.

    A request's head waits for its body, so that both leave in one system call and one packet.
    """

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self._by: float | None = None
        self._head = b""

    def settimeout(self, timeout_s: float | None) -> None:
        self._by = None if timeout_s is None else monotonic() + timeout_s
        self._sock.settimeout(timeout_s)

    def arm(self) -> None:
        """Gives the next operation what is left of the time."""
        if self._by is not None:
            left = self._by - monotonic()
            if left <= 0:
                raise TimeoutError("timed out")
            self._sock.settimeout(left)

    def sendall(self, data: Any) -> None:
        if not self._head and data[:5] == b"POST ":
            self._head = data  # each of our requests has a body: it follows at once
            return
        self.arm()
        head, self._head = self._head, b""
        self._sock.sendall(head + data if head else data)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_BoundedReader(self, self._sock.makefile(mode, buffering=0)), _READ_BYTES)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


class _BoundedReader(io.RawIOBase):
    """The reading side. Keeps the socket's own reader, which counts as a user of the socket."""

    def __init__(self, sock: BoundedSocket, raw: Any) -> None:
        self._sock = sock
        self._raw = raw

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.arm()
        count: int | None = self._raw.readinto(buffer)
        return count

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()


class _Connection(HTTPConnection):
    bounded: BoundedSocket | None = None

    def connect(self) -> None:
        super().connect()
        self.bounded = BoundedSocket(self.sock)
        self.sock = self.bounded  # a socket in all that http.client uses


class _TLSConnection(HTTPSConnection):
    bounded: BoundedSocket | None = None

    def connect(self) -> None:
        super().connect()
        self.bounded = BoundedSocket(self.sock)
        self.sock = self.bounded


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _TLSPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


class SyncClient:
    """Sends requests from any thread."""

    def __init__(self, endpoint: Endpoint) -> None:
        options = endpoint.options
        self.endpoint = endpoint
        self.limit = options.max_response_bytes
        self.read_timeout_s = options.read_timeout_s
        self._connect_timeout_s = options.connect_timeout_s
        self._headers = dict(endpoint.headers)
        self._lock = threading.Lock()
        self._used_at = monotonic()
        self._pool = self._make_pool()
        # A single host's pool takes the path alone, which saves parsing the address for each call.
        shown = str if endpoint.proxy is not None else _target
        self._chat_url, self._embeddings_url = shown(endpoint.chat_url), shown(endpoint.embeddings_url)

    def _make_pool(self) -> Any:
        maxsize = self.endpoint.options.max_connections
        if self.endpoint.proxy is not None:
            manager = urllib3.ProxyManager(self.endpoint.proxy, maxsize=maxsize, block=True)
            manager.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}
            return manager
        parts = urlsplit(self.endpoint.chat_url)
        kind = _TLSPool if parts.scheme == "https" else _Pool
        return kind(parts.hostname or "", parts.port, maxsize=maxsize, block=True)

    def post(
        self, body: bytes, deployment: str, timeout_s: float | None, *, embeddings: bool = False
    ) -> tuple[dict[str, str], bytes]:
        """The kept headers and the body of a 200; anything else is raised."""
        response = None
        failure: ProviderError
        try:
            url = self._embeddings_url if embeddings else self._chat_url
            response = self.send(body, timeout_s or self.read_timeout_s, url=url)
            payload = self.read(response, deployment)
            if response.status == 200:
                headers = kept_headers(response.headers.items())
                response.release_conn()
                response = None
                return headers, payload
            failure = self.refusal(response, payload, deployment)
        except _FAILURES as error:
            failure = self.failure(error, deployment)
        finally:
            if response is not None:
                response.close()
                response.release_conn()
        raise failure  # outside of the handler: no chained exception

    def send(self, body: bytes, timeout_s: float, *, url: str | None = None) -> urllib3.BaseHTTPResponse:
        """The response's head. What is left of `timeout_s` goes on to bound its body."""
        now = monotonic()
        if now - self._used_at > _IDLE_S:
            self._renew()
        self._used_at = now
        response: urllib3.BaseHTTPResponse = self._pool.urlopen(
            "POST",
            self._chat_url if url is None else url,
            body=body,
            headers=self._headers,
            retries=False,
            redirect=False,
            preload_content=False,
            decode_content=False,
            pool_timeout=timeout_s,
            timeout=urllib3.Timeout(total=timeout_s, connect=self._connect_timeout_s),
        )
        return response

    def read(self, response: urllib3.BaseHTTPResponse, deployment: str) -> bytes:
        """The body, bounded; of an error only the beginning."""
        refused = response.status != 200
        limit = ERROR_BODY_BYTES if refused else self.limit
        body = Body(response.headers.get("Content-Encoding"), limit, deployment, truncate=refused)
        while data := response.read(_READ_BYTES, decode_content=False):
            if not body.add(data):
                break
        return body.joined()

    def refusal(self, response: urllib3.BaseHTTPResponse, payload: bytes, deployment: str) -> ProviderError:
        headers = {name.lower(): value for name, value in response.headers.items()}
        return classify(response.status, headers, payload, deployment=deployment, redact=self.endpoint.redact)

    def failure(self, error: Exception, deployment: str) -> ProviderError:
        """A failure of the transport as one of ours, without its cause."""
        timed_out = isinstance(error, (URLLib3TimeoutError, TimeoutError))
        if timed_out and not isinstance(error, urllib3.exceptions.NewConnectionError):
            connecting = isinstance(error, urllib3.exceptions.ConnectTimeoutError)
            what = "connecting took too long" if connecting else "no answer in time"
            return ProviderTimeoutError(f"deployment {deployment!r}: {what}", deployment=deployment)
        text = self.endpoint.redact(str(error)) or type(error).__name__
        return ProviderUnavailableError(f"deployment {deployment!r}: connection failed: {text}", deployment=deployment)

    def _renew(self) -> None:
        with self._lock:
            if monotonic() - self._used_at > _IDLE_S:
                old, self._pool = self._pool, self._make_pool()
                _close(old)

    def close(self) -> None:
        _close(self._pool)


def _close(pool: Any) -> None:
    pool.clear() if isinstance(pool, urllib3.PoolManager) else pool.close()


def _target(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


class SyncStream:
    """The chunks of one answer. `close` frees the connection at once."""

    def __init__(self, client: SyncClient, call: ProviderCall, body: bytes) -> None:
        self._client = client
        self._call = call
        self._body = body
        self._reader = ChunkReader(call, client.limit, client.endpoint.redact)
        self._ready: deque[Chunk] = deque()
        self._response: urllib3.BaseHTTPResponse | None = None
        self._bounded: BoundedSocket | None = None
        self._over = False
        self._by: float | None = None
        self._first_by: float | None = None
        self._tail_by: float | None = None

    def __iter__(self) -> SyncStream:
        return self

    def __next__(self) -> Chunk:
        ready = self._ready
        if ready:
            return ready.popleft()
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
            received = self._response.read1(_READ_BYTES, decode_content=False)
            if not received:
                self._response.release_conn()
            return received
        except _FAILURES as error:
            if self._reader.finished:  # the answer is complete; only its tail is missing
                return b""
            failure = self._client.failure(error, self._call.deployment.name)
        raise failure

    def _patience_s(self) -> float:
        """How long to wait now: for silence, the first content, the tail, and never beyond the whole limit."""
        reader, now = self._reader, monotonic()
        wait_s = self._client.read_timeout_s
        if reader.done:
            wait_s = TAIL_S
        elif reader.finished:
            if self._tail_by is None:
                self._tail_by = now + GRACE_S
            wait_s = self._tail_by - now
        elif not reader.content and self._first_by is not None:
            wait_s = min(wait_s, self._first_by - now)
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
        response = client.send(self._body, self._patience_s())
        self._response, self._body = response, b""
        self._bounded = getattr(response.connection, "bounded", None)
        name = call.deployment.name
        if response.status != 200:
            raise client.refusal(response, client.read(response, name), name)
        if response.headers.get("Content-Type", "").startswith("application/json"):
            self._ready.extend(self._reader.whole(client.read(response, name)))
        self._reader.expect(response.headers.get("Content-Encoding"))

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
            self.close()
