"""Workers forked from a process that has called already: each gets its own answers, over connections of its own."""

from __future__ import annotations

import asyncio
import http.server
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.forks import in_child

from routekit import Router
from routekit.langchain import RoutedChatModel

WORKERS, TURNS = 4, 10


class Echo(http.server.BaseHTTPRequestHandler):
    """Answers with what was asked, on connections that are kept."""

    protocol_version = "HTTP/1.1"
    connections: dict[tuple[str, int], set[str]]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        asked = body["messages"][-1]["content"]
        self.connections.setdefault(self.client_address, set()).add(asked.partition(" ")[0])
        usage = {"prompt_tokens": 3, "completion_tokens": 3}
        if body.get("stream"):
            events = [
                {"choices": [{"index": 0, "delta": {"content": asked}, "finish_reason": None}]},
                {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": usage},
            ]
            data = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events) + b"data: [DONE]\n\n"
            kind = "text/event-stream"
        else:
            message = {"role": "assistant", "content": asked}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            data, kind = json.dumps({"model": "m", "choices": [choice], "usage": usage}).encode(), "application/json"
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[http.server.ThreadingHTTPServer]:
    Echo.connections = {}
    found = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    found.daemon_threads = True
    thread = threading.Thread(target=found.serve_forever, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        found.shutdown()
        found.server_close()
        thread.join(10)


@pytest.fixture
def router(server: http.server.ThreadingHTTPServer, tmp_path: Any) -> Iterator[Router]:
    deployment = {
        "name": "a", "provider": "openai-compatible", "model": "m", "price": {"input": 1, "output": 1},
        "base_url": f"http://127.0.0.1:{server.server_address[1]}/v1",
    }  # fmt: skip
    config = {
        "deployments": [deployment],
        "records": {"enabled": True},
        "budgets": [{"scope": "global", "limit_usd": 1, "window": "day"}],
    }
    with Router(config, env={"ROUTEKIT_PLUGINS": "", "ROUTEKIT_HOME": str(tmp_path)}) as found:
        yield found


def plain(router: Router, text: str) -> str:
    return router.complete(text, deadline_s=20).text


def streamed(router: Router, text: str) -> str:
    return "".join(chunk.text for chunk in router.stream(text, deadline_s=20))


def awaited(router: Router, text: str) -> str:
    return asyncio.run(router.acomplete(text, deadline_s=20)).text


def astreamed(router: Router, text: str) -> str:
    async def read() -> str:
        return "".join([chunk.text async for chunk in router.astream(text, deadline_s=20)])

    return asyncio.run(read())


def invoked(router: Router, text: str) -> str:
    return str(RoutedChatModel(router=router, timeout=20).invoke(text).content)


WAYS = [plain, streamed, awaited, astreamed, invoked]


def wrong(way: Any, router: Router, who: str, *, ends: bool = False) -> list[str]:
    """The answers that were somebody else's. Who `ends` closes its router, so that its last bill is written."""
    asked = [f"{who} {turn}" for turn in range(TURNS)]
    found = [f"{text}: {answer}" for text in asked if (answer := way(router, text)) != text]
    if ends:
        router.close()
    return found


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("before", WAYS)
def test_workers_get_their_own_answers_over_their_own_connections(router: Router, before: Any, way: Any) -> None:
    for first in (before, way):  # the second one too: a fork in the middle of an import leaves its lock held for ever
        assert first(router, "parent 0") == "parent 0"
    said: dict[int, str] = {}

    def work(number: int) -> None:
        said[number] = in_child(lambda: wrong(way, router, f"worker-{number}", ends=True), limit_s=60)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(WORKERS)]
    for worker in workers:
        worker.start()
    mine = wrong(way, router, "parent")  # the parent goes on meanwhile
    for worker in workers:
        worker.join(90)
    assert said == dict.fromkeys(range(WORKERS), "[]")
    assert mine == []
    assert all(len(who) == 1 for who in Echo.connections.values()), "a connection was shared"
    spent = [balance.spent.nanos for _, _, balance in router.budget_store().balances()]  # type: ignore[attr-defined]
    assert spent == [6 * 1000 * (2 + (WORKERS + 1) * TURNS)], "each call is paid once"


async def test_a_fork_inside_of_a_running_loop(router: Router) -> None:
    """As where a process pool is started by an asynchronous program."""
    assert (await router.acomplete("parent 0")).text == "parent 0"

    def child() -> list[str]:
        return wrong(plain, router, "child")

    assert in_child(child, limit_s=60) == "[]"
    texts = await asyncio.gather(*(router.acomplete(f"parent {turn}") for turn in range(TURNS)))
    assert [result.text for result in texts] == [f"parent {turn}" for turn in range(TURNS)]
    await router.aclose()


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="descriptors are counted in /proc")
def test_a_child_does_not_keep_its_parents_connections_open(
    router: Router, server: http.server.ThreadingHTTPServer
) -> None:
    port = server.server_address[1]
    plain(router, "parent 0")

    def to_server() -> int:
        """Sockets of this process whose other end is the server."""
        inodes = {os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if _is_link(fd)}
        rows = [line.split() for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]]
        return sum(f"socket:[{row[9]}]" in inodes for row in rows if int(row[2].partition(":")[2], 16) == port)

    assert to_server() == 1
    assert in_child(to_server) == "0"
    assert plain(router, "parent 1") == "parent 1"


def _is_link(fd: str) -> bool:
    return os.path.islink(f"/proc/self/fd/{fd}") and os.path.lexists(f"/proc/self/fd/{fd}")
