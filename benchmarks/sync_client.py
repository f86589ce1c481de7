"""Which synchronous HTTP client costs least: CPU time per call on the loopback, as ratios to a bare socket.

    python benchmarks/sync_client.py [calls]

The server is another process, so that only the client's CPU time counts. Each client sends the same
request over one kept connection and reads the same answer; rounds alternate and the median is shown.
The last rows are routekit's own provider on top, request building, limits and reading the answer included.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import multiprocessing
import socket
import statistics
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import urllib3

from routekit.builtin.providers.openai_compatible.provider import PLUGIN
from routekit.plugin import PluginContext, ProviderCall
from routekit.types import Deployment, Model

ROUNDS = 7
MESSAGES = ({"role": "user", "content": "hello, " * 20},)
BODY = json.dumps({"model": "m", "messages": MESSAGES}).encode()
ANSWER = json.dumps(
    {
        "id": "x",
        "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi " * 20}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 9},
    }
).encode()
EVENTS = 200
EVENT = json.dumps({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [
    {"index": 0, "delta": {"content": " word"}, "logprobs": None, "finish_reason": None}]})  # fmt: skip
STREAM = "".join(f"data: {EVENT}\n\n" for _ in range(EVENTS)) + (
    'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
)


def serve(port: Any) -> None:
    """The cheapest correct server: one thread per connection, one canned answer."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=64)
    port.value = listening.getsockname()[1]
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nx-request-id: r\r\nContent-Length: %d\r\n\r\n"
    plain = head % len(ANSWER) + ANSWER
    stream = head.replace(b"application/json", b"text/event-stream") % len(STREAM) + STREAM.encode()

    def answer(connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as received:
            while line := received.readline():
                size = 0
                while (line := received.readline()) not in (b"\r\n", b""):
                    if line.lower().startswith(b"content-length:"):
                        size = int(line[15:])
                connection.sendall(stream if b'"stream"' in received.read(size) else plain)

    while True:
        threading.Thread(target=answer, args=(listening.accept()[0],), daemon=True).start()


def clients(port: int) -> dict[str, Callable[[int], None]]:
    """Name to a function that makes so many calls."""
    headers = {"Content-Type": "application/json", "Authorization": "Bearer x"}
    url = f"http://127.0.0.1:{port}/v1/chat/completions"
    raw = socket.create_connection(("127.0.0.1", port))
    raw_request = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(BODY)}\r\n\r\n".encode() + BODY
    )
    plain = http.client.HTTPConnection("127.0.0.1", port)
    pool = urllib3.HTTPConnectionPool("127.0.0.1", port)
    client = httpx.Client(headers=headers)
    options = PLUGIN.options.checked({"base_url": f"http://127.0.0.1:{port}/v1"}, where="bench")
    provider = PLUGIN.factory(options, PluginContext(home=Path("."), env={}))
    deployment = Deployment(name="m", provider="openai-compatible", model=Model(id="m"))
    call = ProviderCall(deployment=deployment, messages=MESSAGES, timeout_s=30.0)
    runner = asyncio.Runner()

    def by_socket(count: int) -> None:
        for _ in range(count):
            raw.sendall(raw_request)
            received = raw.recv(65536)
            while not received.endswith(ANSWER):
                received += raw.recv(65536)
            json.loads(received.partition(b"\r\n\r\n")[2])

    def by_http_client(count: int) -> None:
        for _ in range(count):
            plain.request("POST", "/v1/chat/completions", BODY, headers)
            json.loads(plain.getresponse().read())

    def by_urllib3(count: int) -> None:
        for _ in range(count):
            response = pool.urlopen(
                "POST", "/v1/chat/completions", BODY, headers, retries=False, redirect=False, preload_content=False,
                timeout=urllib3.Timeout(total=30, connect=5),
            )  # fmt: skip
            json.loads(response.read())
            response.release_conn()

    def by_httpx(count: int) -> None:
        for _ in range(count):
            json.loads(client.post(url, content=BODY, timeout=30).content)

    def by_provider(count: int) -> None:
        for _ in range(count):
            provider.complete(call)

    async def awaited(count: int) -> None:
        for _ in range(count):
            await provider.acomplete(call)

    async def streamed() -> None:
        async for _ in provider.astream(call):
            pass

    def by_stream(count: int) -> None:
        for _ in range(count // EVENTS or 1):
            for _ in provider.stream(call):
                pass

    def by_async_stream(count: int) -> None:
        for _ in range(count // EVENTS or 1):
            runner.run(streamed())

    return {
        "socket": by_socket,
        "http.client": by_http_client,
        "urllib3": by_urllib3,
        "httpx": by_httpx,
        "routekit complete": by_provider,
        "routekit acomplete (aiohttp)": lambda count: runner.run(awaited(count)),
        "routekit stream, per chunk": by_stream,
        "routekit astream, per chunk": by_async_stream,
    }


def main() -> None:
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    port = multiprocessing.Value("i", 0)
    server = multiprocessing.Process(target=serve, args=(port,), daemon=True)
    server.start()
    while not port.value:
        time.sleep(0.01)
    found: dict[str, list[float]] = {}
    for name, run in (ways := clients(port.value)).items():
        run(20)
        found[name] = []
    for _ in range(ROUNDS):
        for name, run in ways.items():
            started = time.process_time()
            run(calls)
            found[name].append((time.process_time() - started) / calls * 1e6)
    base = statistics.median(found["socket"])
    for name, costs in found.items():
        cost = statistics.median(costs)
        sys.stdout.write(f"{name:32} {cost:7.1f} us CPU   {cost / base:5.2f} x socket\n")
    server.terminate()


if __name__ == "__main__":
    main()
