"""Records whose values fit no column, files that are replaced, and who writes for a whole process."""

from __future__ import annotations

import gc
import math
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.routers import FACES

from routekit.builtin.observers.records import store as recordstore
from routekit.builtin.observers.records.observer import RecordsObserver
from routekit.builtin.observers.records.row import ROW, record_of_row, row_of
from routekit.builtin.observers.records.store import FILE, RecordStore
from routekit.testing import Reply, ScriptedProvider, plugin_module
from routekit.types import CallRecord, RequestEnded, Savings, Usage

Face = Any
ODD: tuple[Any, ...] = (
    {"x": 1}, "\ud800", "a\0b", 2**63, -(2**70), math.nan, math.inf, "x" * 100_000, b"\xff", None, [1], object(), True,
)  # fmt: skip
FIELDS = (
    "id", "at", "outcome", "strategy", "deployment", "model", "provider", "cache", "cost_nanos", "cost_known",
    "duration_s", "ttft_s", "fallbacks",
)  # fmt: skip


@pytest.fixture(params=FACES, ids=lambda face: face.name)
def face(request: pytest.FixtureRequest) -> Face:
    return request.param


def record(name: str, **changes: Any) -> CallRecord:
    return CallRecord(**{"id": name, "at": 1_764_000_000.0, "outcome": "ok", "strategy": "s", "model": "m", **changes})


def until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("value", ODD, ids=lambda value: repr(value)[:12])
@pytest.mark.parametrize("name", FIELDS)
def test_no_value_of_any_field_costs_a_record(tmp_path: Path, name: str, value: Any) -> None:
    odd = record("odd", **{name: value})
    with closing(RecordStore(tmp_path / FILE)) as store:
        assert store.add([record("before"), odd, record("after")]) == 0
        found = list(store.rows(0, 9e18))
        assert len(found) == 3
        assert {"before", "after"} <= {each.id for each in found}
        for by in (None, "model", "day", "user"):
            assert sum(row.calls for row in store.spend(by)) == 3


JSONS = st.recursive(
    st.sampled_from(ODD[:9]) | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(
    scopes=st.dictionaries(st.sampled_from(["user", "\ud800"]), st.lists(st.sampled_from(["a", "\udfff", 5]))),
    attempts=st.lists(st.dictionaries(st.text(), JSONS), max_size=2),
    tokens=st.integers() | st.sampled_from(ODD[:6]),
    nanos=st.integers(),
)
def test_every_row_can_be_written_and_read_back(scopes: Any, attempts: Any, tokens: Any, nanos: int) -> None:
    savings = Savings(
        baseline="b\ud800", baseline_nanos=nanos, cost_nanos=1, routing_nanos=nanos, compression_nanos=0,
        caching_nanos=0, overhead_nanos=0,
    )  # fmt: skip
    usage = Usage(input_tokens=tokens) if isinstance(tokens, int) and 0 <= tokens < 2**62 else Usage()
    row = row_of(
        record("r", scopes=scopes, attempts=tuple(attempts), decision={"a": tokens}, savings=savings, usage=usage)
    )
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute(f"CREATE TABLE calls ({', '.join(ROW)})")
        database.execute(f"INSERT INTO calls VALUES ({', '.join('?' * len(ROW))})", row)
        database.execute("SELECT value FROM calls, json_each(calls.scopes, '$.user')").fetchall()
        record_of_row(database.execute("SELECT * FROM calls").fetchone())


def test_one_row_that_the_file_refuses_is_left_out_alone_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def row_with_nothing(record: CallRecord) -> tuple[Any, ...]:
        return tuple(None if record.id == "odd" else column for column in row_of(record))

    monkeypatch.setattr(recordstore, "row_of", row_with_nothing)
    with closing(RecordStore(tmp_path / FILE)) as store:
        assert store.left_out() == 0
        assert store.add([record("a"), record("odd"), record("b")], left_out=2) == 1
        assert [each.id for each in store.rows()] == ["a", "b"]
        assert store.left_out() == 3
        assert store.left_out(until=1.0) == 0


def test_a_row_that_cannot_be_read_hides_no_other(tmp_path: Path) -> None:
    with closing(RecordStore(tmp_path / FILE)) as store:
        store.add([record(name) for name in "abc"])
        with closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as database:
            database.execute("UPDATE calls SET usage = 'nonsense' WHERE id = 'b'")
        assert [each.id for each in store.rows()] == ["a", "c"]


def test_pages_leave_nothing_out_and_repeat_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recordstore, "PAGE", 3)
    names = [f"{number:02}" for number in range(11)]
    with closing(RecordStore(tmp_path / FILE)) as store:
        store.add([record(name, at=1000.0 + int(name) // 4) for name in names])
        assert [each.id for each in store.rows()] == names
        assert [each.id for each in store.rows(newest_first=True)] == names[::-1]
        assert [each.id for each in store.rows(limit=5)] == names[:5]
        assert [each.id for each in store.rows(since=1001, until=1002)] == names[4:8]


def test_a_file_that_is_removed_while_it_is_in_use_is_made_again(tmp_path: Path) -> None:
    observer = RecordsObserver(tmp_path / FILE)
    observer(RequestEnded(request_id="before", at=time.time()))
    other = RecordsObserver(tmp_path / FILE)
    other(RequestEnded(request_id="too", at=time.time()))
    other.close()
    for path in tmp_path.iterdir():
        path.unlink()
    observer(RequestEnded(request_id="after", at=time.time()))
    observer.close()
    with closing(RecordStore(tmp_path / FILE)) as store:
        assert [each.id for each in store.rows()] == ["after"]


def test_odd_answers_lose_nobodys_records(face: Face, tmp_path: Path) -> None:
    from routekit import Router

    odd = Reply("ok", usage=Usage(input_tokens=2**62, output_tokens=2**62))
    with Router(
        {"deployments": [{"name": "a", "provider": "scripted", "model": "m"}], "records": {"enabled": True}},
        plugins=[plugin_module(ScriptedProvider())],
        providers={"a": ScriptedProvider(Reply("ok"), odd, Reply("ok"))},
        env={"ROUTEKIT_PLUGINS": "", "ROUTEKIT_HOME": str(tmp_path)},
    ) as router:
        for _ in range(5):
            face.complete(router, "hi")
    with closing(RecordStore(tmp_path / FILE)) as store:
        assert len(list(store.rows())) == 5


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "routekit-records"]


def test_a_process_has_one_writer_and_the_last_close_ends_it(tmp_path: Path) -> None:
    before = len(threads())
    observers = [RecordsObserver(tmp_path / FILE) for _ in range(20)]
    for number, observer in enumerate(observers):
        observer(RequestEnded(request_id=str(number), at=time.time()))
    assert len(threads()) == before + 1
    for observer in observers:
        observer.close()
    assert len(threads()) == before
    with closing(RecordStore(tmp_path / FILE)) as store:
        assert len(list(store.rows())) == 20


def test_observers_that_are_dropped_leave_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from routekit.builtin.observers.records import writer as recordswriter

    monkeypatch.setattr(recordswriter, "LINGER_S", 0.05)
    before = len(threads())
    for number in range(50):
        RecordsObserver(tmp_path / FILE)(RequestEnded(request_id=str(number), at=time.time()))
    gc.collect()
    until(lambda: len(threads()) == before)
    with closing(RecordStore(tmp_path / FILE)) as store:
        assert len(list(store.rows())) == 50


def test_what_ends_after_a_close_is_written_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from routekit.builtin.observers.records import writer as recordswriter

    monkeypatch.setattr(recordswriter, "LINGER_S", 0.05)
    before = len(threads())
    observer = RecordsObserver(tmp_path / FILE)
    observer(RequestEnded(request_id="a", at=time.time()))
    observer.close()
    observer(RequestEnded(request_id="b", at=time.time()))
    until(lambda: len(threads()) == before)
    with closing(RecordStore(tmp_path / FILE)) as store:
        assert [each.id for each in store.rows()] == ["a", "b"]
