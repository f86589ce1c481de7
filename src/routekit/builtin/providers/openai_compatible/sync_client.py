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
import os
import threading
from time import monotonic
from typing import Any
from urllib.parse import unquote, urlsplit

import urllib3
from urllib3.exceptions import HTTPError
from urllib3.exceptions import TimeoutError as URLLib3TimeoutError
from urllib3.util import parse_url

from routekit.builtin.providers.errors import classify
from routekit.builtin.providers.openai_compatible.clients import SharedClients, pool_is_full
from routekit.builtin.providers.openai_compatible.http1 import (
    _READ_BYTES,
    AnyResponse,
    Response,
    _head,
    _Pool,
    _TLSPool,
)
from routekit.builtin.providers.openai_compatible.options import Endpoint, headers_of_call, redaction
from routekit.builtin.providers.openai_compatible.wire import ERROR_BODY_BYTES, Body, kept_headers
from routekit.errors import ProviderError, ProviderTimeoutError, ProviderUnavailableError
from routekit.plugin import reset_after_fork
from routekit.types.headers import NO_HEADERS, CallHeaders

_IDLE_S = 60.0
"""Connections unused for this long are dropped: a firewall between may have forgotten them without a word."""

_FAILURES = (HTTPError, http.client.HTTPException, OSError, ValueError, AttributeError)
"""The last two are what a pool or response says that another thread closed."""


_UNREACHED = (
    urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError, urllib3.exceptions.EmptyPoolError,
    urllib3.exceptions.ProxyError,
)  # fmt: skip
"""Of a request that ends so, nothing was sent."""


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
        if isinstance(error, urllib3.exceptions.NewConnectionError):  # which begins with the connection's repr
            text = text.partition("): ")[2] or text
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


CLIENTS = SharedClients(SyncClient)
"""The synchronous clients of this process."""
