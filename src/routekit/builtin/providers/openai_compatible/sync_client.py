"""The synchronous client: urllib3's connections, one pool for all threads, with http.client's responses on them.

urllib3 gives what is hard to do well: the pool, TLS, proxies, and the check that an idle connection still
stands. Its requests and responses cost more than all the rest of a call, though. Microseconds of CPU a call on
the loopback (``benchmarks/sync_client.py``): a bare socket 30, http.client on one connection 70, urllib3 130,
httpx 256; this client 63, with building the body and reading the answer. So an endpoint that is reached directly is
spoken to without them: the head of a request, the same each time but for its length, is written once and
leaves with the body in one system call, and `Response` is http.client's with the headers in a plain dict.
An endpoint behind a proxy goes through urllib3 as it is.

Two things are added. A read limit of urllib3, as of any socket, holds per read, so an endpoint that
drips bytes could hold a call for ever: `BoundedSocket` turns a limit into a point in time that all reads
and writes together may not pass. And, as in the asynchronous client, a request is never sent twice: a
connection that the server closed while it was idle is found before it is used again, which urllib3 does.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import os
import threading
from collections import deque
from collections.abc import Mapping
from time import monotonic
from typing import Any
from urllib.parse import unquote, urlsplit

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError
from urllib3.exceptions import TimeoutError as URLLib3TimeoutError
from urllib3.util import parse_url

from routekit.builtin.providers.errors import classify
from routekit.builtin.providers.openai_compatible.clients import SharedClients, pool_is_full
from routekit.builtin.providers.openai_compatible.options import Endpoint, headers_of_call, redaction
from routekit.builtin.providers.openai_compatible.sse import ChunkReader
from routekit.builtin.providers.openai_compatible.wire import ERROR_BODY_BYTES, Body, kept_headers
from routekit.errors import ProviderError, ProviderTimeoutError, ProviderUnavailableError
from routekit.plugin import Chunk, ProviderCall, reaper, reset_after_fork
from routekit.types.headers import NO_HEADERS, CallHeaders

_IDLE_S = 60.0
"""Connections unused for this long are dropped: a firewall between may have forgotten them without a word."""

_READ_BYTES = 65_536
_LINE_BYTES = 65_536
_HEADER_LINES = 100
_FAILURES = (HTTPError, http.client.HTTPException, OSError, ValueError, AttributeError)
"""The last two are what a pool or response says that another thread closed."""


_UNREACHED = (
    urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError, urllib3.exceptions.EmptyPoolError,
    urllib3.exceptions.ProxyError,
)  # fmt: skip
"""Of a request that ends so, nothing was sent."""


class BoundedSocket:
    """A socket whose timeout is a deadline: `settimeout(t)` bounds all that follows, not each read, to t seconds."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self._by: float | None = None

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
        self.arm()
        self._sock.sendall(data)

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


class Response(http.client.HTTPResponse):
    """A response on a connection of urllib3's pool: http.client's body, with `headers` as a dict, names in lower case.

    http.client reads headers with the parser for e-mail, at 20 microseconds a response.
    Beyond that, `release_conn` gives the connection back, and a body that ends before its announced length fails.
    """

    def __init__(self, connection: Any, pool: Any) -> None:
        super().__init__(connection.sock, method="POST")
        self.connection = connection
        self._pool = pool
        self._complete = False

    def begin(self) -> None:
        """Reads status line and headers.

        Raises:
            http.client.HTTPException: this is no HTTP/1, or a head without end.
        """
        status = 100
        while status < 200:  # "Continue" and "Early Hints" come before the response proper
            version, status = self._read_status_line()
            headers = self._read_headers()
        self.code = self.status = status
        self.version = version
        self.headers = self.msg = headers  # type: ignore[assignment]  # a dict is enough for http.client too
        codings = headers.get("transfer-encoding", "").lower().split(",")
        self.chunked = codings[-1].strip() == "chunked"  # the last one frames the body (RFC 9112, section 6.3)
        self.chunk_left = None
        length = headers.get("content-length", "")
        self.length = int(length) if length.isdecimal() and not self.chunked else None
        if status in (204, 304):
            self.length = 0
        kept = headers.get("connection", "").lower()
        closes = "close" in kept if version == 11 else "keep-alive" not in kept
        self.will_close = closes or (self.length is None and not self.chunked)

    def _read_status_line(self) -> tuple[int, int]:
        line = self.fp.readline(_LINE_BYTES)
        if not line:
            raise http.client.RemoteDisconnected("Remote end closed connection without response")
        version, _, rest = line.partition(b" ")
        digits = rest.strip()[:3]
        if not version.startswith(b"HTTP/1.") or len(digits) != 3 or not digits.isdigit():
            raise http.client.BadStatusLine(line[:100].decode("latin-1"))
        return 10 if version == b"HTTP/1.0" else 11, int(digits)

    def _read_headers(self) -> dict[str, str]:
        readline, headers, name = self.fp.readline, dict[str, str](), ""
        for _ in range(_HEADER_LINES + 1):
            line = readline(_LINE_BYTES).decode("latin-1")
            if line in ("\r\n", "\n"):
                return headers
            if not line.endswith("\n"):
                raise http.client.HTTPException("the head of the response is cut off, or a line of it too long")
            if line[0] in " \t":  # the old way to go on with a value
                headers[name] = f"{headers.get(name, '')} {line.strip()}"
                continue
            name, _, value = line.partition(":")
            name, value = name.strip().lower(), value.strip()
            if name not in headers:
                headers[name] = value
            elif name != "content-length" or headers[name] != value:
                headers[name] += f", {value}"
        raise http.client.HTTPException(f"got more than {_HEADER_LINES} headers")

    def read(self, amt: int | None = None) -> bytes:
        return self._checked(super().read(amt))

    def read1(self, n: int = -1) -> bytes:
        return self._checked(super().read1(n))

    def _checked(self, data: bytes) -> bytes:
        """`data`; where it is empty, the body is over, and must be whole."""
        if not data:
            if self.length:
                raise http.client.IncompleteRead(b"", self.length)
            self._complete = True
        return data

    def release_conn(self) -> None:
        """Gives the connection back: open if the body was read to its end and the server keeps it, else closed."""
        connection, self.connection = self.connection, None
        if connection is not None:
            self.close()
            if self.will_close or not self._complete:
                connection.close()
            self._pool._put_conn(connection)  # a closed one opens anew when its turn comes


AnyResponse = Response | urllib3.BaseHTTPResponse
"""Direct or through a proxy: `status`, `headers`, `read`, `read1`, `close` and `release_conn` of both are alike."""


class _HeadWriter(http.client.HTTPConnection):
    """Keeps what it would send."""

    written = b""

    def send(self, data: Any) -> None:
        self.written += data


def _head(url: str, headers: dict[str, str]) -> bytes:
    """A POST's head, as http.client writes and checks it, but for the length, which goes in by ``%``.

    Raises:
        ValueError: a header cannot be sent.
        http.client.HTTPException: nor can the address.
    """
    parts = urlsplit(url)
    writer = _HeadWriter(parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))
    writer.default_port = 443 if parts.scheme == "https" else 80
    target = parse_url(url).request_uri  # percent-encoded where need be
    given = {name.lower() for name in headers}
    writer.putrequest("POST", target, skip_host="host" in given, skip_accept_encoding="accept-encoding" in given)
    for name, value in headers.items():
        writer.putheader(name, value)
    writer.endheaders()
    return writer.written[:-2].replace(b"%", b"%%") + b"Content-Length: %d\r\n\r\n"


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
        self._heads: dict[str, bytes] = {}
        reset_after_fork(self)

    def after_fork(self) -> None:
        """The parent's connections are the parent's: their copies are closed without a word, and new ones opened."""
        self._lock = threading.Lock()
        old, self._pool = self._pool, self._make_pool()
        for pool in _pools(old):
            _disown(pool)

    def _make_pool(self) -> Any:
        maxsize = self.endpoint.options.max_connections
        if self.endpoint.proxy is not None:
            user = parse_url(self.endpoint.proxy).auth
            headers = urllib3.make_headers(proxy_basic_auth=unquote(user)) if user else None
            manager = urllib3.ProxyManager(self.endpoint.proxy, proxy_headers=headers, maxsize=maxsize, block=True)
            manager.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}
            return manager
        parts = urlsplit(self.endpoint.chat_url)
        kind = _TLSPool if parts.scheme == "https" else _Pool
        return kind(parts.hostname or "", parts.port, maxsize=maxsize, block=True)

    def post(
        self,
        body: bytes,
        deployment: str,
        timeout_s: float | None,
        *,
        embeddings: bool = False,
        headers: CallHeaders = NO_HEADERS,
    ) -> tuple[dict[str, str], bytes]:
        """The kept headers and the body of a 200; anything else is raised."""
        response = None
        failure: ProviderError
        try:
            url = self.endpoint.embeddings_url if embeddings else self.endpoint.chat_url
            response = self.send(body, timeout_s or self.read_timeout_s, url=url, headers=headers)
            payload = self.read(response, deployment)
            if response.status == 200:
                kept = kept_headers(response.headers.items())
                response.release_conn()
                response = None
                return kept, payload
            failure = self.refusal(response, payload, deployment, body, headers)
        except _FAILURES as error:
            failure = self.failure(error, deployment, headers)
        finally:
            if response is not None:
                response.close()
                response.release_conn()
        raise failure  # outside of the handler: no chained exception

    def send(
        self, body: bytes, timeout_s: float, *, url: str | None = None, headers: CallHeaders = NO_HEADERS
    ) -> AnyResponse:
        """The response's head. What is left of `timeout_s` goes on to bound its body."""
        now = monotonic()
        if now - self._used_at > _IDLE_S:
            self._renew()
        self._used_at = now
        if url is None:
            url = self.endpoint.chat_url
        if self.endpoint.proxy is None:
            return self._send_directly(body, timeout_s, now + timeout_s, url, headers)
        response: urllib3.BaseHTTPResponse = self._pool.urlopen(
            "POST",
            url,
            body=body,
            headers=headers_of_call(self._headers, headers) if headers else self._headers,
            retries=False,
            redirect=False,
            preload_content=False,
            decode_content=False,
            pool_timeout=timeout_s,
            timeout=urllib3.Timeout(total=timeout_s, connect=self._connect_timeout_s),
        )
        return response

    def _send_directly(self, body: bytes, timeout_s: float, by: float, url: str, headers: CallHeaders) -> Response:
        head = self._heads.get(url) if not headers else _head(url, headers_of_call(self._headers, headers))
        if head is None:
            head = self._heads[url] = _head(url, self._headers)
        pool = self._pool
        sent = False
        connection = None
        try:
            connection = pool._get_conn(timeout=timeout_s)  # none that the server has closed
            if connection.sock is None:
                connection.timeout = min(_left_s(by), self._connect_timeout_s)
                connection.connect()
            sock = connection.sock
            sock.settimeout(_left_s(by))
            with contextlib.suppress(BrokenPipeError):  # who refuses a body midway may have said why
                sock.sendall(head % len(body) + body)
            sent = True
            response = Response(connection, pool)
            response.begin()
            return response
        except BaseException as error:
            error.unsent = not sent  # type: ignore[attr-defined]  # for `failure`: nobody has seen all of the request
            if connection is not None:
                connection.close()
                pool._put_conn(connection)
            raise

    def read(self, response: AnyResponse, deployment: str) -> bytes:
        """The body, bounded; of an error only the beginning."""
        refused = response.status != 200
        limit = ERROR_BODY_BYTES if refused else self.limit
        body = Body(response.headers.get("content-encoding"), limit, deployment, truncate=refused)
        while data := response.read(_READ_BYTES):
            if not body.add(data):
                break
        return body.joined()

    def refusal(
        self, response: AnyResponse, payload: bytes, deployment: str, sent: Any, headers: CallHeaders = NO_HEADERS
    ) -> ProviderError:
        """What a status other than 200 means; `sent` is what was asked, so that its words are not repeated."""
        found = {name.lower(): value for name, value in response.headers.items()}
        redact = redaction(self.endpoint, headers)
        return classify(response.status, found, payload, deployment=deployment, redact=redact, sent=sent)

    def failure(self, error: Exception, deployment: str, sent: CallHeaders = NO_HEADERS) -> ProviderError:
        """A failure of the transport as one of ours, without its cause."""
        failure = self._failure(error, deployment, sent)
        failure.unsent = failure.unsent or isinstance(error, _UNREACHED)
        return failure

    def _failure(self, error: Exception, deployment: str, sent: CallHeaders) -> ProviderError:
        if isinstance(error, urllib3.exceptions.EmptyPoolError):
            return pool_is_full(deployment, self.endpoint.options.max_connections)
        timed_out = isinstance(error, (URLLib3TimeoutError, TimeoutError))
        if timed_out and not isinstance(error, urllib3.exceptions.NewConnectionError):
            connecting = isinstance(error, urllib3.exceptions.ConnectTimeoutError)
            what = "connecting took too long" if connecting else "no answer in time"
            return ProviderTimeoutError(f"deployment {deployment!r}: {what}", deployment=deployment)
        text = redaction(self.endpoint, sent)(str(error)) or type(error).__name__
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


def _pools(pool: Any) -> list[Any]:
    """The pool itself, or those of a proxy's manager, whose lock may be held for ever."""
    if not isinstance(pool, urllib3.PoolManager):
        return [pool]
    return list(getattr(pool.pools, "_container", {}).values())


def _disown(pool: Any) -> None:
    """In a forked child: closes the descriptors of a pool's idle connections. Nothing is written to them."""
    waiting = pool.pool
    if waiting is None:
        return
    idle, waiting.queue = waiting.queue, []
    waiting.mutex = threading.Lock()  # the parent's may have been held: the pool's own finalizer takes it later
    for name in ("not_empty", "not_full", "all_tasks_done"):
        setattr(waiting, name, threading.Condition(waiting.mutex))
    for connection in idle:
        sock = getattr(connection, "sock", None)
        if sock is not None:
            connection.sock = None
            with contextlib.suppress(OSError, AttributeError):
                os.close(sock.detach())


def _left_s(by: float) -> float:
    left_s = by - monotonic()
    if left_s <= 0:
        raise TimeoutError("timed out")
    return left_s


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


CLIENTS = SharedClients(SyncClient)
"""The synchronous clients of this process."""
