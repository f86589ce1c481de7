"""A Chat Completions endpoint on loopback that breaks as it is told, in a process of its own.

``python -m benchmarks.breaking SECONDS SEED`` prints its port, serves and ends by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import random
import re
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from typing import Any

from benchmarks import upstream

HEALTHY_S = 0.02
"""How long a healthy upstream takes to answer."""
SILENCE_S = 60.0
"""How long a silent connection is kept open."""
HANGS = ("hang", "slow-first", "stall", "drip")
SOAK_FAULTS = ("500", "429", "reset", "stall", "empty", "bad-json", "slow")
FAULTS = (
    "refused", "reset", "reset-after-head", "hang", "slow-first", "comments", "cut", "stall", "drip", "malformed",
    "no-finish", "no-done", "429", "429-retry-after", "500", "529", "empty", "masked", "bad-json", "oversize", "bomb",
    "content-filter", "401", "404",
)  # fmt: skip
"""The kinds that one whole and one streamed text can have. "refused" is a port where nobody listens."""
_ID = re.compile(rb"\[([a-z0-9-]+)\]")
_ERROR = b'{"error":{"message":"broken on purpose"}}'
_FILTER = b'{"error":{"message":"filtered on purpose","code":"content_filter"}}'
_JSON = b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
_MIB = 2**20


class Upstream:
    """A Chat Completions endpoint whose fault is set from outside: ``POST /set/KIND``, ``GET /seen``.

    Kinds: ok, those of `FAULTS`, slow (0.5 s), hangs (half of the calls, of every kind of `HANGS`) and soak (5 % of
    the calls, of every kind of `SOAK_FAULTS`). `silence_s` is how long a silent connection is kept open.
    """

    def __init__(self, seed: int, silence_s: float = SILENCE_S) -> None:
        self.kind = "ok"
        self.seen: Counter[str] = Counter()
        self.answered: list[float] = []
        self._rng = random.Random(seed)
        self._silence_s = silence_s

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
                body = await reader.readexactly(int(length[1])) if length else b""
                target = head.split(b" ", 2)[1].decode()
                if target.startswith(("/set/", "/seen")):
                    self._send(writer, 200, self._controlled(target))
                else:
                    await self._answer(writer, body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def _controlled(self, target: str) -> bytes:
        if target.startswith("/set/"):
            self.kind = target[5:]
            return b"{}"
        return json.dumps({"seen": self.seen, "answered": self.answered}).encode()

    @staticmethod
    def _send(writer: asyncio.StreamWriter, status: int, body: bytes, more: bytes = b"") -> None:
        writer.write(b"HTTP/1.1 %d X\r\n" % status + more + _JSON % len(body) + body)

    def _kind(self) -> str:
        if self.kind == "hangs":
            return self._rng.choice(HANGS) if self._rng.random() < 0.5 else "ok"
        if self.kind == "soak":
            return self._rng.choice(SOAK_FAULTS) if self._rng.random() < 0.05 else "ok"
        return self.kind

    async def _answer(self, writer: asyncio.StreamWriter, body: bytes) -> None:
        kind = self._kind()
        if self.kind != "soak" and (found := _ID.search(body)) is not None:  # a soak would count for ever
            self.seen[found[1].decode()] += 1
        streamed = b'"stream":true' in body.replace(b" ", b"")
        whole = upstream._EVENTS if streamed else upstream._OK
        if kind == "reset":
            writer.transport.abort()
        elif kind == "drip":
            for byte in whole:
                writer.write(bytes((byte,)))
                await writer.drain()
                await asyncio.sleep(0.1)
        elif kind == "comments":
            await self._comments(writer, streamed)
        elif (broken := _broken(kind, whole)) is not None:
            writer.write(broken)
            await writer.drain()
            if kind in HANGS:
                await asyncio.sleep(0.3 if self.kind == "soak" else self._silence_s)
            if kind in HANGS or kind == "reset-after-head":
                writer.transport.abort()
            if kind == "no-done":
                self.answered.append(time.monotonic())
            writer.close()
        elif (answer := _refused(kind, streamed)) is not None:
            self._send(writer, *answer)
        else:
            await self._healthy(writer, whole, streamed, 0.5 if kind == "slow" else HEALTHY_S)

    async def _healthy(self, writer: asyncio.StreamWriter, whole: bytes, streamed: bool, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        half = len(whole) // 2
        writer.write(whole[:half])
        if streamed:  # in two parts, so that a reader can leave in the middle
            await writer.drain()
            await asyncio.sleep(HEALTHY_S)
        writer.write(whole[half:])
        if self.kind != "soak":
            self.answered.append(time.monotonic())  # Linux and macOS: one clock for all processes

    async def _comments(self, writer: asyncio.StreamWriter, streamed: bool) -> None:
        """Signs of life that hold no answer: comments in a stream, spaces in a body."""
        whole = upstream._EVENTS if streamed else upstream._OK
        writer.write(whole[: whole.index(b"\r\n\r\n") + 4])
        end = time.monotonic() + self._silence_s
        while time.monotonic() < end:
            writer.write(b": alive\n\n" if streamed else b" ")
            await writer.drain()
            await asyncio.sleep(0.2)
        writer.transport.abort()


def _broken(kind: str, whole: bytes) -> bytes | None:
    """What is sent of a whole response before the connection is closed, or falls silent; None: not such a kind."""
    head = whole.index(b"\r\n\r\n") + 4
    half = len(whole) // 2
    if kind == "hang":
        return b""
    if kind in ("slow-first", "reset-after-head"):
        return whole[:head]
    if kind in ("cut", "stall"):
        return whole[:half]
    if kind not in ("malformed", "no-finish", "no-done"):
        return None
    body, streamed = whole[head:], whole is upstream._EVENTS
    events = body.split(b"\n\n")
    if kind == "malformed":
        middle = [*events[:100], b'data: {"choices": [{"delta": {"con', *events[100:]]
        body = b"\n\n".join(middle) if streamed else body[:-9] + b"]"
    elif streamed:  # the last three: the finish reason, [DONE], nothing
        body = b"\n\n".join(events[: -3 if kind == "no-finish" else -2]) + b"\n\n"
    elif kind == "no-finish":
        body = body.replace(b'"stop"', b"null")
    media = b"text/event-stream" if streamed else b"application/json"
    return b"HTTP/1.1 200 X\r\nConnection: close\r\nContent-Type: " + media + b"\r\n\r\n" + body


def _refused(kind: str, streamed: bool) -> tuple[int, bytes, bytes] | None:
    """Status, body and further header lines of what is no answer; None: not such a kind."""
    if kind.isdecimal() or kind == "429-retry-after":
        return int(kind[:3]), _ERROR, b"Retry-After: 1\r\n" if "retry" in kind else b""
    if kind == "content-filter":
        return 400, _FILTER, b""
    if kind == "masked":
        return 200, _ERROR, b""
    if kind == "empty":
        return 200, b"", b""
    if kind == "bad-json":
        return 200, b'{"choices": [{', b""
    if kind not in ("oversize", "bomb"):
        return None
    big = (b"data: " if streamed else b'{"x": "') + b"x" * (40 * _MIB)
    return (200, gzip.compress(big, 1), b"Content-Encoding: gzip\r\n") if kind == "bomb" else (200, big, b"")


async def serve(seconds: float, seed: int) -> None:
    """Prints its port, serves and ends by itself."""
    server = await asyncio.start_server(Upstream(seed).serve, "127.0.0.1", 0, backlog=1024)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await asyncio.sleep(seconds)


@contextlib.contextmanager
def upstreams(count: int, seconds: float) -> Iterator[list[int]]:
    """Upstreams in processes of their own, which end after `seconds` whatever happens; yields their ports."""
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.breaking", str(seconds), str(seed)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in range(count)
    ]
    try:
        yield [int(process.stdout.readline()) for process in started if process.stdout]
    finally:
        for process in started:
            process.kill()
            process.wait()
            if process.stdout:
                process.stdout.close()


def control(port: int, path: str) -> Any:
    """Speaks to an upstream outside of the measured clients. Blocks for a millisecond."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=10) as answer:
        return json.load(answer)


if __name__ == "__main__":
    asyncio.run(serve(float(sys.argv[1]), int(sys.argv[2])))
