"""A real Chat Completions server on the loopback, with a script: the upstream of the tests.

    with OpenAIServer() as server:
        server.reply("Paris.")                                   # the next request, whoever it is for
        server.reply("Rome.", model="mini", times=2)             # the next two requests for "mini"
        server.behave(model="broken", status=503)                # every request for "broken"
        server.behave(model="slow", delay_s=0.2, chunk_delay_s=0.05)
        server.behave(model="dead", fault="reset")
        Router.from_dict({... "base_url": server.url ...})
        assert server.models_called == ["broken", "mini"]

Without a script it behaves like a polite small model: it echoes the last user message, calls a tool
where one is required or fits, answers a tool result with text, and fills JSON schemas.

It runs an event loop in a thread of its own and stops with the context.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from tests.support.openai_answers import Behaviour, as_bytes, chat_answer, embeddings_answer, stream_events


@dataclass(frozen=True)
class Recorded:
    """One request as it arrived. Header names are lower-case; `connection` numbers the TCP connection from 1."""

    method: str
    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    connection: int

    @property
    def model(self) -> str:
        return str(self.body.get("model"))


class OpenAIServer:
    """The server. `url` is the base URL ending in ``/v1``; `requests` holds every POST in order of arrival.

    `aborted` counts requests whose client went away before the answer was complete.
    """

    def __init__(self, *, api_key: str | None = None) -> None:
        self.api_key = api_key
        self.requests: list[Recorded] = []
        self.aborted = 0
        self.url = ""
        self._lock = threading.Lock()
        self._queue: list[tuple[str | None, Behaviour]] = []
        self._standing: dict[str | None, Behaviour] = {}
        self._transports: dict[asyncio.Transport, int] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="openai-server", daemon=True)

    def reply(
        self, text: str | None = None, *, model: str | None = None, times: int = 1, **behaviour: Any
    ) -> OpenAIServer:
        """Queues an answer for the next `times` requests (for `model`, or for anybody)."""
        with self._lock:
            self._queue += [(model, Behaviour(text=text, **behaviour))] * times
        return self

    def behave(self, *, model: str | None = None, **behaviour: Any) -> OpenAIServer:
        """How every request for `model` (or for anybody) is answered from now on; no arguments: as usual."""
        with self._lock:
            self._standing[model] = Behaviour(**behaviour)
        return self

    @property
    def models_called(self) -> list[str]:
        return [request.model for request in self.requests]

    @property
    def connections(self) -> int:
        """TCP connections that ever carried a request."""
        return len(self._transports)

    @property
    def open_connections(self) -> int:
        return sum(not transport.is_closing() for transport in list(self._transports))

    def drop_connections(self) -> None:
        """Closes every connection that is open, as servers do with idle ones."""

        async def drop() -> None:
            for transport in list(self._transports):
                transport.close()

        asyncio.run_coroutine_threadsafe(drop(), self._loop).result(5)

    def wait_until(self, condition: Callable[[], bool], timeout_s: float = 5.0) -> None:
        """Waits for something that the server's thread is about to notice."""
        end = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > end:
                raise AssertionError("the server never came into the expected state")
            time.sleep(0.002)

    def __enter__(self) -> OpenAIServer:
        self._thread.start()
        port = asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)
        self.url = f"http://127.0.0.1:{port}/v1"
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _start(self) -> int:
        app = web.Application(client_max_size=64 * 2**20)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/v1/embeddings", self._embeddings)
        app.router.add_get("/v1/models", self._models)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.01)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        return int(self._runner.addresses[0][1])

    async def _stop(self) -> None:
        await self._runner.cleanup()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        for transport in list(self._transports):  # one that was accepted in this very moment
            transport.abort()
        for _ in range(3):  # they are closed in the loop's next passes
            await asyncio.sleep(0)

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        return await self._serve(request, chat_answer)

    async def _embeddings(self, request: web.Request) -> web.StreamResponse:
        return await self._serve(request, embeddings_answer)

    async def _models(self, request: web.Request) -> web.Response:
        known = sorted({model for model in self._standing if model} | set(self.models_called) | {"test-model"})
        return web.json_response({"object": "list", "data": [{"id": name, "object": "model"} for name in known]})

    async def _serve(
        self, request: web.Request, answer: Callable[[dict[str, Any], Behaviour], dict[str, Any]]
    ) -> web.StreamResponse:
        body = json.loads(await request.read())
        behaviour = self._record(request, body)
        try:
            if behaviour.delay_s:
                await asyncio.sleep(behaviour.delay_s)
            return await self._respond(request, body, behaviour, answer)
        except (asyncio.CancelledError, ConnectionError):
            self.aborted += 1
            raise

    def _record(self, request: web.Request, body: dict[str, Any]) -> Behaviour:
        assert isinstance(request.transport, asyncio.Transport)
        model = body.get("model")
        with self._lock:
            connection = self._transports.setdefault(request.transport, len(self._transports) + 1)
            headers = {name.lower(): value for name, value in request.headers.items()}
            self.requests.append(Recorded(request.method, request.path, headers, body, connection))
            if self.api_key is not None and headers.get("authorization") != f"Bearer {self.api_key}":
                return Behaviour(status=401)
            for index, (wanted, behaviour) in enumerate(self._queue):
                if wanted in (None, model):
                    del self._queue[index]
                    return behaviour
            return self._standing.get(model) or self._standing.get(None) or Behaviour()

    async def _respond(
        self,
        request: web.Request,
        body: dict[str, Any],
        behaviour: Behaviour,
        answer: Callable[[dict[str, Any], Behaviour], dict[str, Any]],
    ) -> web.StreamResponse:
        transport = request.transport
        assert transport is not None
        if behaviour.fault == "hang":
            await asyncio.sleep(3600)
        if behaviour.fault == "reset":
            sock = transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()
            return web.Response()
        headers = {"x-request-id": f"req-{len(self.requests)}", **behaviour.headers}
        content = behaviour.body
        if content is None and behaviour.status != 200:
            content = {"error": {"message": f"scripted {behaviour.status}", "type": "scripted", "code": None}}
        if content is None and (body.get("stream") or behaviour.events is not None):
            events = behaviour.events if behaviour.events is not None else stream_events(body, answer(body, behaviour))
            return await self._stream(request, behaviour, headers, events)
        payload = as_bytes(answer(body, behaviour) if content is None else content)
        headers.setdefault("content-type", "application/json")
        if behaviour.fault not in ("cut", "stall", "drip"):
            return web.Response(body=payload, status=behaviour.status, headers=headers)
        response = web.StreamResponse(status=behaviour.status, headers=headers)
        response.content_length = len(payload)
        await response.prepare(request)
        if behaviour.fault == "drip":
            for index in range(len(payload)):
                await response.write(payload[index : index + 1])
                await asyncio.sleep(behaviour.chunk_delay_s)
        else:
            await response.write(payload[: len(payload) // 2])
            if behaviour.fault == "stall":
                await asyncio.sleep(3600)
            transport.close()
        return response

    async def _stream(
        self, request: web.Request, behaviour: Behaviour, headers: dict[str, str], events: list[Any]
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream", **headers})
        await response.prepare(request)
        limit = len(events) // 2 if behaviour.fault == "cut" else len(events)
        limit = limit if behaviour.after is None else behaviour.after
        for event in events[:limit] if behaviour.fault in ("cut", "stall") else events:
            data = event if isinstance(event, bytes) else b"data: " + as_bytes(event) + b"\n\n"
            pieces = [data[i : i + 1] for i in range(len(data))] if behaviour.fault == "drip" else [data]
            for piece in pieces:
                await response.write(piece)
                if behaviour.chunk_delay_s:
                    await asyncio.sleep(behaviour.chunk_delay_s)
        if behaviour.fault == "stall":
            await asyncio.sleep(3600)
        if behaviour.fault == "cut":
            assert request.transport is not None
            request.transport.close()
        return response
