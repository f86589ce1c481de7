"""An endpoint that breaks on purpose: raw TCP on the loopback, so that it can break below HTTP as well.

The model's name in a request says how to break (a key of `KINDS`); "fine" answers properly, "fine-json" whole and in
JSON. Every whole request that arrives is counted, by model. Error texts repeat the caller's key, as careless
endpoints do. It runs an event loop in a thread of its own and stops with its context; no connection outlives `LIFE_S`.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import re
import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

LIFE_S = 20.0
PIECES = [f"word{place} " for place in range(8)]
TEXT = "".join(PIECES)
JSON = '{"city": "Paris"}'
OVERSIZE = 600_000
"""Bytes; more than the tests' limit on a response."""

KINDS = {
    "reset": "the connection is reset before the headers",
    "reset-after-head": "the connection is reset after the headers",
    "hang": "the request is read, and nothing follows",
    "silent-head": "headers and a frame that names the role, then nothing",
    "comments": "signs of life without content, for ever",
    "cut": "the connection ends in the middle of the answer",
    "stall": "half of the answer, then nothing",
    "drip": "the answer in small pieces, slowly",
    "malformed": "an event, or a body, that is no JSON in its middle",
    "no-finish": "the answer without a finish reason, and without [DONE]",
    "done-alone": "the answer without a finish reason, but [DONE]",
    "no-done": "a finish reason, but no [DONE]",
    "stays-open": "a finish reason, no [DONE], and the connection stays open",
    "error-event": "an error in the middle of the stream, and [DONE] all the same",
    "429-wait": "429 with a Retry-After",
    "429": "429 without one",
    "500": "500",
    "503": "503",
    "529": "529",
    "empty-body": "200 with no body at all",
    "null": "200 with a message whose content is null",
    "masked": "200 with an error as its body",
    "bad-json": "200 with half a JSON document",
    "html": "200 with a page of a proxy",
    "oversize": "200 with more bytes than are allowed",
    "bomb": "200 with a few compressed bytes that unpack to too many",
    "filtered": "a finish reason that says the content was filtered, and no content",
    "context": "400: the prompt is too long",
    "400": "400 that nobody can classify",
    "wrong": "400: a value in the request is wrong",
    "401": "401",
    "404": "404",
    "tool-json": "a tool call whose arguments are half a JSON document",
    "schema": "text that breaks the schema asked for",
}


class FaultServer:
    """``with FaultServer() as server:``; `url` ends in ``/v1``, `seen` counts requests by model."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        self.url = ""
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._tasks: set[asyncio.Task[None]] = set()

    def __enter__(self) -> FaultServer:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _run(self) -> None:
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        self._ready.set()
        self._loop.run_forever()
        server.close()
        for task in (tasks := asyncio.all_tasks(self._loop)):
            task.cancel()
        if tasks:
            self._loop.run_until_complete(asyncio.wait(tasks))
        self._loop.run_until_complete(asyncio.sleep(0.01))  # transports close in the loop's next passes
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, TimeoutError):
                async with asyncio.timeout(LIFE_S):
                    while True:
                        head = await reader.readuntil(b"\r\n\r\n")
                        length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
                        request = json.loads(await reader.readexactly(int(length[1]) if length else 0))
                        key = re.search(rb"authorization: *bearer ([^\r\n]+)", head, re.IGNORECASE)
                        model = request["model"]
                        self.seen[model] += 1
                        if not await _answer(writer, model, request, key[1].decode() if key else ""):
                            break
        finally:
            writer.close()


async def _answer(writer: asyncio.StreamWriter, kind: str, request: dict[str, Any], key: str) -> bool:
    """Sends one answer; whether the connection may be used again."""
    streamed = bool(request.get("stream"))
    if kind == "hang":
        await asyncio.sleep(LIFE_S)
    elif kind == "reset":
        _reset(writer)
    elif (refusal := _refusal(kind, key)) is not None:
        status, body, more = refusal
        writer.write(_head(status, len(body), more) + body)
        await writer.drain()
        return kind != "oversize"
    elif streamed:
        await _stream(writer, kind, key)
    else:
        return await _whole(writer, kind)
    return False


async def _whole(writer: asyncio.StreamWriter, kind: str) -> bool:
    body = json.dumps(_completion(kind)).encode()
    half = len(body) // 2
    if kind == "malformed":
        body = body[:half] + b"\x00{" + body[half:]
    head = _head(200, len(body))
    if kind == "silent-head":
        writer.write(head)
        await asyncio.sleep(LIFE_S)
    elif kind == "reset-after-head":
        writer.write(head)
        await writer.drain()
        await asyncio.sleep(0.01)
        _reset(writer)
    elif kind == "comments":
        writer.write(_head(200, 10**6))
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.02)
    elif kind in ("cut", "stall"):
        writer.write(head + body[:half])
        await writer.drain()
        await asyncio.sleep(LIFE_S if kind == "stall" else 0)
    elif kind == "drip":
        writer.write(head)
        for start in range(0, len(body), 64):
            writer.write(body[start : start + 64])
            await writer.drain()
            await asyncio.sleep(0.02)
        return True
    else:
        writer.write(head + body)
        await writer.drain()
        return True
    return False


async def _stream(writer: asyncio.StreamWriter, kind: str, key: str) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
    if kind == "reset-after-head":
        await writer.drain()
        await asyncio.sleep(0.01)
        _reset(writer)
        return
    await _event(writer, {"role": "assistant", "content": ""})
    if kind == "silent-head":
        await asyncio.sleep(LIFE_S)
    if kind == "comments":
        while True:
            writer.write(b": alive\n\n")
            await writer.drain()
            await asyncio.sleep(0.02)
    for place, piece in enumerate(_pieces(kind)):
        await _event(writer, piece)
        if kind == "drip":
            await asyncio.sleep(0.05)
        if place == 3:
            if kind == "stall":
                await asyncio.sleep(LIFE_S)
            if kind == "cut":
                return
            if kind == "malformed":
                writer.write(b'data: {"choices": [{"delta": {"con\n\n')
            if kind == "error-event":
                error = {"error": {"message": f"overloaded, key {key}", "type": "server_error", "code": 500}}
                writer.write(b"data: " + json.dumps(error).encode() + b"\n\ndata: [DONE]\n\n")
                await writer.drain()
                return
    if kind == "no-finish":
        return
    if kind != "done-alone":
        await _event(writer, {}, finish=_finish(kind))
    if kind in ("no-done", "stays-open"):
        await asyncio.sleep(LIFE_S if kind == "stays-open" else 0)
        return
    if kind != "done-alone":
        usage = {"id": "c", "object": "chat.completion.chunk", "choices": [], "usage": _USAGE}
        writer.write(b"data: " + json.dumps(usage).encode() + b"\n\n")
    writer.write(b"data: [DONE]\n\n")
    await writer.drain()


async def _event(writer: asyncio.StreamWriter, delta: dict[str, Any], finish: str | None = None) -> None:
    chunk = {"id": "c", "object": "chat.completion.chunk", "model": "m",
             "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}  # fmt: skip
    writer.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
    await writer.drain()


_USAGE = {"prompt_tokens": 10, "completion_tokens": 16, "total_tokens": 26}
_CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Par'}}


def _pieces(kind: str) -> Iterator[dict[str, Any]]:
    if kind in ("null", "filtered"):
        return
    if kind == "tool-json":
        yield {"tool_calls": [{"index": 0, **_CALL}]}
        return
    if kind == "schema":
        yield {"content": '{"city": '}
        yield {"content": "3}"}
        return
    for piece in PIECES:
        yield {"content": piece}


def _completion(kind: str) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": TEXT}
    if kind in ("null", "filtered"):
        message["content"] = None
    elif kind == "tool-json":
        message.update(content=None, tool_calls=[_CALL])
    elif kind in ("schema", "fine-json"):
        message["content"] = '{"city": 3}' if kind == "schema" else JSON
    finish = None if kind in ("no-finish", "done-alone") else _finish(kind)
    return {"id": "c", "object": "chat.completion", "model": "m", "usage": _USAGE,
            "choices": [{"index": 0, "message": message, "finish_reason": finish}]}  # fmt: skip


def _finish(kind: str) -> str:
    return {"filtered": "content_filter", "tool-json": "tool_calls"}.get(kind, "stop")


def _refusal(kind: str, key: str) -> tuple[int, bytes, str] | None:
    """Status, body and further headers of what is no answer; None: not such a kind."""
    if kind == "empty-body":
        return 200, b"", ""
    if kind == "masked":
        return 200, _error(f"internal error for key {key}", "server_error"), ""
    if kind == "bad-json":
        return 200, b'{"choices": [{"message": {"role": "assi', ""
    if kind == "html":
        return 200, f"<html><body>Gateway, key {key}</body></html>".encode(), ""
    if kind == "oversize":
        return 200, b'{"choices": "' + b"x" * OVERSIZE + b'"}', ""
    if kind == "bomb":
        return 200, gzip.compress(b'{"choices": "' + b"x" * 50_000_000 + b'"}', 1), "Content-Encoding: gzip\r\n"
    if kind == "context":
        return (
            400,
            _error("maximum context length is 10 tokens", "invalid_request_error", "context_length_exceeded"),
            "",
        )
    if kind == "wrong":
        return 400, _error(f"a role is wrong, key {key}", "invalid_request_error", "invalid_value"), ""
    if kind == "429-wait":
        return 429, _error(f"slow down, key {key}", "rate_limit_error"), "Retry-After: 30\r\n"
    if kind.isdecimal():
        return int(kind), _error(f"refused, key {key}", "some_error"), ""
    return None


def _error(message: str, kind: str, code: str | None = None) -> bytes:
    return json.dumps({"error": {"message": message, "type": kind, "code": code}}).encode()


def _head(status: int, length: int, more: str = "") -> bytes:
    return f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n{more}\r\n".encode()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Ends the connection with a reset instead of a goodbye."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
