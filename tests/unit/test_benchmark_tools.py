"""What the measuring tools conclude from their figures, and the endpoint that breaks on purpose."""

from __future__ import annotations

import asyncio
import contextlib
import json

import pytest
from benchmarks.breaking import FAULTS, Upstream
from benchmarks.faults import Ended, back_after_s, percentile, verdict
from benchmarks.faults_report import missed
from benchmarks.soak import Sample, grown


def test_a_percentile_is_one_of_the_values() -> None:
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile([float(n) for n in range(100)], 0.99) == 99.0
    assert percentile([], 0.5) == 0.0


@pytest.mark.parametrize(
    ("answered", "back"),
    [
        ([10.5, 11.0, 11.9, 12.5], 0.5),
        ([9.0, 10.1, 11.0, 14.0, 14.5, 15.4, 16.0], None),  # the last answer lies too far back
        ([10.1, 10.5, 16.0, 16.9, 17.8, 18.5, 19.4], 6.0),  # ejected late, by timeouts that were under way
        ([], None),
    ],
)
def test_back_in_rotation_is_the_end_of_the_last_gap(answered: list[float], back: float | None) -> None:
    until = 20.0 if not answered or answered[-1] > 13 else 13.0
    assert back_after_s(answered, 10.0, until) == back


def test_what_grows_is_named_and_what_is_flat_is_not() -> None:
    flat = [Sample(50.0 + n % 2, 30, 7, 5) for n in range(9)]
    assert grown(flat) == []
    assert grown([row._replace(rss_mb=50 + 2.0 * n) for n, row in enumerate(flat)]) == ["rss_mb grew from 52.0 to 64.0"]
    assert [
        line.split()[0] for line in grown([row._replace(fds=30 + n, tasks=7 + n) for n, row in enumerate(flat)])
    ] == [
        "fds",
        "tasks",
    ]


def _ended(ok: bool, error: str = "", seconds: float = 0.1) -> list[Ended]:
    return [Ended("each", seconds, ok, error)]


@pytest.mark.parametrize(
    ("kind", "streamed", "ended", "why"),
    [
        ("500", False, _ended(True), ""),
        ("500", False, _ended(False, "ProviderError"), "1 ProviderError"),
        ("cut", False, _ended(False, "ProviderError"), "1 ProviderError"),
        ("cut", True, _ended(False, "StreamInterruptedError"), ""),
        ("cut", True, _ended(False), "1 wrong text"),
        ("hang", False, _ended(True, seconds=2.2), "1 after 2 s"),
        ("content-filter", False, _ended(True), "1 routed around"),
        ("content-filter", False, _ended(False, "ContentFilterError"), ""),
    ],
)
def test_a_promise_is_kept_or_what_broke_it_is_named(kind: str, streamed: bool, ended: list[Ended], why: str) -> None:
    assert verdict(kind, streamed, ended, 2.0) == why


def test_goals_that_an_outage_missed_are_named() -> None:
    part = {"ok": 100, "requests": 100, "p95": 0.02, "p99": 0.05, "most_attempts": 2}
    row = {"before": part, "fault": part, "after": part, "back": 1.0}
    assert missed("500", row) == []
    worse = {**part, "ok": 99, "p99": 0.12, "most_attempts": 4}
    assert missed("500", {**row, "fault": worse, "back": None}) == ["availability", "p99", "attempts", "back"]
    assert "p99" not in missed("hang", {**row, "fault": worse})


async def _ask(port: int, target: str, body: bytes = b"") -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"POST /%s HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (target.encode(), len(body)) + body)
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 3)
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        return head + await asyncio.wait_for(reader.readexactly(length), 3)
    finally:
        writer.close()


async def test_the_endpoint_breaks_as_it_is_told_and_counts_attempts_by_request() -> None:
    breaking = Upstream(seed=1, silence_s=0.0)
    server = await asyncio.start_server(breaking.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        assert b"The sky is blue" in await _ask(port, "v1", b'{"content": "why? [fault-1]"}')
        await _ask(port, "set/500")
        assert (await _ask(port, "v1", b'{"content": "why? [fault-1]"}')).startswith(b"HTTP/1.1 500")
        for kind in ("reset", "hang", "slow-first", "stall", "cut"):
            await _ask(port, f"set/{kind}")
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await _ask(port, "v1", b'{"content": "why? [fault-2]"}')
        seen = json.loads((await _ask(port, "seen")).split(b"\r\n\r\n", 1)[1])
    assert seen["seen"] == {"fault-1": 2, "fault-2": 5}
    assert len(seen["answered"]) == 1


@pytest.mark.parametrize("kind", [kind for kind in FAULTS if kind not in ("refused", "no-done", "drip")])
@pytest.mark.parametrize("streamed", [False, True])
async def test_no_fault_sends_the_whole_answer_in_time(kind: str, streamed: bool) -> None:
    server = await asyncio.start_server(Upstream(seed=1, silence_s=0.0).serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        await _ask(port, f"set/{kind}")
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        body = b'{"stream":true}' if streamed else b"{}"
        writer.write(b"POST /v1 HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        got = b""
        with contextlib.suppress(TimeoutError, ConnectionError):
            while (data := await asyncio.wait_for(reader.read(2**20), 0.2)) and len(got) < 2**21:
                got += data
        writer.close()
    assert b"[DONE]" not in got or kind == "malformed"
    assert streamed or b'"finish_reason": "stop"' not in got or not got.endswith(b"}")
