"""Every kind of fault, sync and async, whole and streamed: what is promised, and that everything is accounted for."""

from __future__ import annotations

import socket
import sqlite3
import traceback
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.faults.server import JSON, KINDS, TEXT, FaultServer
from tests.support.routers import AsyncFace, SyncFace

from routekit import (
    AllAttemptsFailedError,
    ContentFilterError,
    DeadlineExceededError,
    RoutekitError,
    Router,
    StreamInterruptedError,
)
from routekit.errors import InvalidRequestError

Face = SyncFace | AsyncFace
KEY = "sk-fault-0123456789abcdef"
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
SCHEMA = {
    "type": "json_schema",
    "json_schema": {"name": "x", "schema": {"type": "object", "properties": {"city": {"type": "string"}}}},
}


class Promise(NamedTuple):
    """What a whole request and a stream end in: "answered", "second" (the other one answers), or the error's type.

    With the faulty deployment alone, "second" becomes a failure of all attempts.
    """

    whole: str | type[RoutekitError]
    stream: str | type[RoutekitError]


SECOND = Promise("second", "second")
PROMISES = {
    "refused": SECOND,
    "reset": SECOND,
    "reset-after-head": SECOND,
    "hang": SECOND,
    "silent-head": SECOND,
    "comments": SECOND,
    "cut": Promise("second", StreamInterruptedError),
    "stall": Promise("second", StreamInterruptedError),
    "drip": Promise("answered", "answered"),
    "malformed": Promise("second", StreamInterruptedError),
    "no-finish": Promise("answered", StreamInterruptedError),
    "done-alone": Promise("answered", "answered"),
    "no-done": Promise("answered", "answered"),
    "stays-open": Promise("answered", "answered"),
    "error-event": Promise("answered", StreamInterruptedError),
    "429-wait": SECOND,
    "429": SECOND,
    "500": SECOND,
    "503": SECOND,
    "529": SECOND,
    "empty-body": SECOND,
    "null": SECOND,
    "masked": SECOND,
    "bad-json": SECOND,
    "html": SECOND,
    "oversize": SECOND,
    "bomb": SECOND,
    "filtered": Promise(ContentFilterError, ContentFilterError),
    "context": SECOND,
    "400": SECOND,
    "wrong": Promise(InvalidRequestError, InvalidRequestError),
    "401": SECOND,
    "404": SECOND,
    "tool-json": Promise("second", StreamInterruptedError),
    "schema": Promise("second", StreamInterruptedError),
}
SILENT = frozenset({"hang", "silent-head", "comments", "stall"})


def test_every_kind_has_its_promise() -> None:
    assert PROMISES.keys() == KINDS.keys() | {"refused"}
    assert len(PROMISES) >= 24


@pytest.fixture(scope="module")
def server() -> Iterator[FaultServer]:
    with FaultServer() as running:
        yield running


@pytest.fixture(scope="module")
def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class Told(NamedTuple):
    """How one request ended: what was handed over in pieces, its result or its error."""

    text: str
    result: Any
    error: RoutekitError | None

    @property
    def attempts(self) -> tuple[Any, ...]:
        if self.result is not None:
            return tuple(self.result.attempts)
        return tuple(getattr(self.error, "attempts", ()))


def ask(face: Face, router: Router, kind: str, streamed: bool) -> Told:
    options: dict[str, Any] = {"deadline_s": 0.9 if kind in SILENT else 10.0}
    if kind == "tool-json":
        options["tools"] = [TOOL]
    if kind == "schema":
        options["response_format"] = SCHEMA
    pieces: list[str] = []
    try:
        if streamed:
            _, result = face.stream(router, "hi", on_chunk=lambda chunk: pieces.append(chunk.text), **options)
        else:
            result = face.complete(router, "hi", **options)
    except RoutekitError as error:  # anything else is an untyped error, and fails the test
        return Told("".join(pieces), None, error)
    return Told("".join(pieces) if streamed else result.text, result, None)


def good_model(kind: str) -> str:
    return "fine-json" if kind == "schema" else "fine"


def router_of(server: FaultServer, kind: str, home: Path, closed_port: int, *, alone: bool) -> Router:
    url = f"http://127.0.0.1:{closed_port}/v1" if kind == "refused" else server.url
    shared = {"provider": "openai-compatible", "api_key_env": "FAULT_KEY", "price": {"input": 1, "output": 2},
              "max_response_bytes": 500_000, "context_window": 8000}  # fmt: skip
    tables = [{"name": "bad", "model": kind, "base_url": url, **shared}]
    if not alone:
        good = {"name": "good", "model": good_model(kind), "base_url": server.url, **shared, "context_window": 16_000}
        tables.append({**good, "api_key_env": "OTHER_KEY"})
    return Router(
        {
            "deployments": tables,
            "router": {"strategy": "ordered"},
            "reliability": {"first_token_s": 0.35, "idle_s": 0.35},
            "budgets": [{"scope": "global", "limit_usd": 10, "window": "day"}],
        },
        env={"ROUTEKIT_PLUGINS": "", "ROUTEKIT_HOME": str(home), "FAULT_KEY": KEY, "OTHER_KEY": KEY},
        seed=1,
    )


def check_accounts(told: Told, router: Router, home: Path, wire: int, unseen: int = 0) -> None:
    """Wire, record and ledger agree, and nothing is left behind. `unseen` attempts never reached a server."""
    assert wire == len(told.attempts) - unseen
    assert len(told.attempts) <= 2, "at most one request more than there are deployments, at most one retry in place"
    assert all(row.in_flight == 0 for row in router.health())
    with closing(sqlite3.connect(home / "ledger.sqlite3")) as ledger:
        kinds = dict(ledger.execute("SELECT kind, count(*) FROM entries GROUP BY kind").fetchall())
        assert kinds.get("reserve", 0) == len(told.attempts)
        assert sum(kinds.get(kind, 0) for kind in ("settle", "release", "uncertain")) == len(told.attempts)
        uncertain = sum(attempt.uncertain for attempt in told.attempts)
        assert kinds.get("uncertain", 0) == uncertain
        assert dict(ledger.execute("SELECT state, count(*) FROM holds GROUP BY state").fetchall()) == (
            {"uncertain": uncertain} if uncertain else {}
        )
        (spent,) = ledger.execute("SELECT coalesce(sum(spent), 0) FROM entries").fetchone()
    assert spent == sum(attempt.cost.nanos for attempt in told.attempts)
    if told.error is not None:
        said = "".join(traceback.format_exception(told.error))
        assert KEY not in said
        for attempt in told.attempts:
            assert KEY not in f"{attempt.detail}{attempt.error!r}"


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("kind", PROMISES)
def test_with_a_second_deployment(
    face: Face, kind: str, streamed: bool, server: FaultServer, closed_port: int, tmp_path: Path
) -> None:
    promise = PROMISES[kind].stream if streamed else PROMISES[kind].whole
    server.seen.clear()
    with router_of(server, kind, tmp_path, closed_port, alone=False) as router:
        told = ask(face, router, kind, streamed)
        outcomes = [(attempt.deployment.name, attempt.outcome) for attempt in told.attempts]
        if promise == "answered":
            assert (told.error, told.text) == (None, TEXT)
            assert outcomes == [("bad", "ok")]
        elif promise == "second":
            assert (told.error, told.text) == (None, JSON if kind == "schema" else TEXT)
            assert outcomes == [("bad", "error"), ("good", "ok")]
            assert told.result.text == told.text
        else:
            assert isinstance(promise, type)
            assert isinstance(told.error, promise)
            assert server.seen[good_model(kind)] == 0, "surfaced, not routed around"
            check_partial(told)
        check_accounts(told, router, tmp_path, sum(server.seen.values()), unseen=kind == "refused")


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("kind", PROMISES)
def test_alone(face: Face, kind: str, streamed: bool, server: FaultServer, closed_port: int, tmp_path: Path) -> None:
    promise = PROMISES[kind].stream if streamed else PROMISES[kind].whole
    server.seen.clear()
    with router_of(server, kind, tmp_path, closed_port, alone=True) as router:
        told = ask(face, router, kind, streamed)
        if promise == "answered":
            assert (told.error, told.text) == (None, TEXT)
        elif promise == "second":
            assert isinstance(told.error, AllAttemptsFailedError | DeadlineExceededError | InvalidRequestError)
            assert told.text == ""
        else:
            assert isinstance(promise, type)
            assert isinstance(told.error, promise)
            check_partial(told)
        unseen = len(told.attempts) if kind == "refused" else 0
        check_accounts(told, router, tmp_path, sum(server.seen.values()), unseen=unseen)


def check_partial(told: Told) -> None:
    """A broken stream's partial answer is what was handed over, no more and no less, and no success."""
    if isinstance(told.error, StreamInterruptedError):
        assert told.error.partial.text == told.text
        assert told.error.attempts[-1].outcome == "interrupted"
        assert TEXT.startswith(told.text) or told.text == '{"city": 3}'
