"""The asynchronous client: aiohttp, one session per event loop.

A session belongs to the loop that made it. It is closed with its loop (by an asynchronous generator,
which `asyncio.run` and every other runner shuts down), by `aclose`, or, where a loop was closed bare,
by the next call from another one.

A request that was handed to a connection is never sent twice: an endpoint may have begun, and both
answers would be paid for. Instead a connection that the server closed while it was idle is found before
it is used again, and what is left is a `ProviderUnavailableError`, which the engine may retry and account for.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import select
import threading
from collections.abc import AsyncGenerator
from typing import Any

import aiohttp
from yarl import URL

from routekit.builtin.providers.errors import classify
from routekit.builtin.providers.openai_compatible.clients import SharedClients, pool_is_full
from routekit.builtin.providers.openai_compatible.options import Endpoint, headers_of_call, redaction
from routekit.builtin.providers.openai_compatible.wire import ERROR_BODY_BYTES, Body, kept_headers
from routekit.errors import InvalidResponseError, ProviderError, ProviderTimeoutError, ProviderUnavailableError
from routekit.plugin import reset_after_fork
from routekit.types.headers import NO_HEADERS, CallHeaders

_IDLE_S = 0.05
"""After this long without a call, the loop is let look at its sockets before one is used again."""

_KEEPALIVE_S = 30.0
_LARGE_BODY = 2**20  # aiohttp wants larger ones as a file
_FAILURES = (aiohttp.ClientError, TimeoutError, OSError, RuntimeError, ValueError)
_UNREACHED = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
"""Of a request that ends so (refused, no address, no TLS, no connection in time), nothing was sent."""


class _Session:
    """One loop's session, with what closes it."""

    __slots__ = ("client", "closer", "used_at")

    def __init__(self, client: aiohttp.ClientSession, closer: AsyncGenerator[None]) -> None:
        self.client = client
        self.closer = closer
        self.used_at = 0.0


class _Connector(aiohttp.TCPConnector):
    """Hands out no connection that its server has closed, and tells those whose time was over while all were in use."""

    async def connect(self, req: Any, traces: Any, timeout: Any) -> Any:
        full = self.limit and len(self._acquired) >= self.limit
        try:
            while True:
                connection = await super().connect(req, traces, timeout)
                protocol: Any = connection.protocol
                if not getattr(protocol, "was_used", False):
                    protocol.was_used = True
                    return connection
                if not _is_stale(connection.transport):
                    return connection
                connection.close()
        except asyncio.CancelledError as error:
            error.pool_was_full = full  # type: ignore[attr-defined]  # for `failure`, which sees what it became
            raise


def _is_stale(transport: Any) -> bool:
    """Whether a connection that nothing was asked on has something to say: that it is closed, nearly always.

    The loop knows by its next pass only; a server that says keep-alive and closes would fail every other call.
    """
    sock = None if transport is None else transport.get_extra_info("socket")
    if sock is None:
        return False
    try:
        poll = select.poll()
        poll.register(sock.fileno(), select.POLLIN)
        return bool(poll.poll(0))
    except (AttributeError, OSError, ValueError):  # no poll on this system, or closed this moment
        return False


def _waited_for_pool(error: BaseException) -> bool:
    link: BaseException | None = error
    while link is not None:
        if getattr(link, "pool_was_full", False):
            return True
        link = link.__cause__ or link.__context__
    return False


class AsyncClient:
    """Sends requests from any event loop."""

    def __init__(self, endpoint: Endpoint) -> None:
        options = endpoint.options
        self.endpoint = endpoint
        self.limit = options.max_response_bytes
        self._chat_url = URL(endpoint.chat_url, encoded=True)
        self._embeddings_url = URL(endpoint.embeddings_url, encoded=True)
        self._connect_timeout_s = options.connect_timeout_s
        self._read_timeout_s = options.read_timeout_s
        self._sessions: dict[asyncio.AbstractEventLoop, _Session] = {}
        self._lock = threading.Lock()
        reset_after_fork(self)

    def after_fork(self) -> None:
        """The sessions are the parent's. Their loops share its poller, so nothing of them is closed properly here."""
        self._lock = threading.Lock()
        sessions, self._sessions = self._sessions, {}
        for session in sessions.values():
            _inherited.append(session)
            _disown(session.client)

    async def post(
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
            url = self._embeddings_url if embeddings else self._chat_url
            response = await self.send(body, timeout_s or self._read_timeout_s, url=url, headers=headers)
            payload = await self.read(response, deployment)
            if response.status == 200:
                return kept_headers(response.headers.items()), payload
            failure = self.refusal(response, payload, deployment, body, headers)
        except _FAILURES as error:
            failure = self.failure(error, deployment, headers)
        finally:
            if response is not None:
                _leave(response)
        raise failure  # outside of the handler: no chained exception, whose parts hold the request's headers

    async def send(
        self,
        body: bytes,
        timeout_s: float | None,
        *,
        url: URL | None = None,
        silence_s: float | None = None,
        headers: CallHeaders = NO_HEADERS,
    ) -> aiohttp.ClientResponse:
        loop = asyncio.get_running_loop()
        session = self._sessions.get(loop)
        if session is None:
            session = await self._open(loop)
        now = loop.time()
        if now - session.used_at > _IDLE_S:
            # Twice: in the first pass the loop sees that a peer has closed, in the second we run after it.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        session.used_at = now
        return await session.client.post(
            self._chat_url if url is None else url,
            headers=headers_of_call(self.endpoint.headers, headers) if headers else None,
            data=body if len(body) < _LARGE_BODY else io.BytesIO(body),
            allow_redirects=False,
            proxy=self.endpoint.proxy,
            timeout=aiohttp.ClientTimeout(
                total=timeout_s, sock_connect=self._connect_timeout_s, sock_read=silence_s, ceil_threshold=1e9
            ),
        )

    async def read(self, response: aiohttp.ClientResponse, deployment: str) -> bytes:
        """The body, bounded; of an error only the beginning."""
        refused = response.status != 200
        limit = ERROR_BODY_BYTES if refused else self.limit
        body = Body(response.headers.get("Content-Encoding"), limit, deployment, truncate=refused)
        readany = response.content.readany
        while data := await readany():
            if not body.add(data):
                break
        return body.joined()

    def refusal(
        self,
        response: aiohttp.ClientResponse,
        payload: bytes,
        deployment: str,
        sent: Any,
        headers: CallHeaders = NO_HEADERS,
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
        if isinstance(error, TimeoutError) and _waited_for_pool(error):
            return pool_is_full(deployment, self.endpoint.options.max_connections)
        if isinstance(error, TimeoutError):
            what = "connecting took too long" if isinstance(error, aiohttp.ServerTimeoutError) else "no answer in time"
            return ProviderTimeoutError(f"deployment {deployment!r}: {what}", deployment=deployment)
        text = redaction(self.endpoint, sent)(str(error)) or type(error).__name__
        if isinstance(error, aiohttp.ClientResponseError):
            return InvalidResponseError(f"deployment {deployment!r}: no valid HTTP came back", deployment=deployment)
        return ProviderUnavailableError(f"deployment {deployment!r}: connection failed: {text}", deployment=deployment)

    async def _open(self, loop: asyncio.AbstractEventLoop) -> _Session:
        self._bury()
        client = aiohttp.ClientSession(
            connector=_Connector(
                limit=self.endpoint.options.max_connections, keepalive_timeout=_KEEPALIVE_S, force_close=False
            ),
            headers=self.endpoint.headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        )
        closer = _closing(client)
        await anext(closer)
        session = _Session(client, closer)
        session.used_at = loop.time()
        with self._lock:
            self._sessions[loop] = session
        return session

    async def aclose(self) -> None:
        with self._lock:
            session = self._sessions.pop(asyncio.get_running_loop(), None)
        if session is not None:
            await session.closer.aclose()
            await asyncio.sleep(0)  # transports close in the loop's next pass
        self.close()

    def close(self) -> None:
        """Closes every loop's session, each in its own loop where that runs."""
        self._bury()
        with self._lock:
            sessions, self._sessions = self._sessions, {}
        for loop, session in sessions.items():
            if loop.is_running():
                with contextlib.suppress(RuntimeError):  # closed in this very moment
                    loop.call_soon_threadsafe(_finish, loop, session)
            else:
                _drive(session.client)

    def _bury(self) -> None:
        """Closes what belongs to loops that are closed."""
        with self._lock:
            dead = {loop: session for loop, session in self._sessions.items() if loop.is_closed()}
            self._sessions = {loop: s for loop, s in self._sessions.items() if loop not in dead}
        for session in dead.values():
            transports = _transports(session.client)
            _drive(session.client)
            for transport in transports:
                _end(transport)


def _leave(response: aiohttp.ClientResponse) -> None:
    """Ends a response. An incomplete one's connection goes at once, without TLS' goodbye: the peer may hang."""
    connection = response.connection
    with contextlib.suppress(RuntimeError):  # the loop is closed: the session's end takes care
        if connection is not None and connection.transport is not None:
            connection.transport.abort()
        response.close()


async def _closing(client: aiohttp.ClientSession) -> AsyncGenerator[None]:
    try:
        yield
    finally:
        await client.close()


_finishing: set[asyncio.Task[Any]] = set()


def _finish(loop: asyncio.AbstractEventLoop, session: _Session) -> None:
    task = loop.create_task(session.client.close())
    _finishing.add(task)
    task.add_done_callback(_finishing.discard)


def _drive(client: aiohttp.ClientSession) -> None:
    """Closes a session without a loop: its `close` waits only for TLS to say goodbye."""
    closing = client.close()
    try:
        closing.send(None)
    except (StopIteration, RuntimeError):
        return
    closing.close()


def _transports(client: aiohttp.ClientSession) -> list[Any]:
    idle = getattr(client.connector, "_conns", {})
    return [protocol.transport for pool in idle.values() for protocol, *_ in pool if protocol.transport is not None]


_inherited: list[_Session] = []
"""What a forked child has of its parent's: kept, because forgetting it would take it apart, on the parent's poller."""


def _disown(client: aiohttp.ClientSession) -> None:
    """In a forked child: closes the descriptors of a session's connections. Nothing is written to them."""
    connector = client.connector
    used = getattr(connector, "_acquired", ())
    protocols = [p for pool in getattr(connector, "_conns", {}).values() for p, *_ in pool]
    for transport in [protocol.transport for protocol in (*protocols, *used) if protocol.transport is not None]:
        # uvloop's transports have no socket of Python's: those stay open until the child ends.
        sock = getattr(transport.get_extra_info("socket"), "_sock", None)
        if sock is not None:
            with contextlib.suppress(OSError):
                os.close(sock.detach())


def _end(transport: Any) -> None:
    """Closes a socket whose loop is closed. asyncio has no public way: closing is the loop's work."""
    with contextlib.suppress(RuntimeError, AttributeError):
        transport.abort()
    ended = getattr(transport, "_call_connection_lost", None)
    if ended is not None:
        with contextlib.suppress(RuntimeError, AttributeError):
            ended(None)


CLIENTS = SharedClients(AsyncClient)
"""The asynchronous clients of this process."""
