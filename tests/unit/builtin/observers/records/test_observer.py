"""Records: what is kept of requests, by whom it is written, and what can go wrong with the disk."""

from __future__ import annotations

import logging
import os
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.support.routers import FACES

from routekit import Router
from routekit.builtin.observers.records.observer import RecordsObserver
from routekit.builtin.observers.records.store import FILE, RecordStore
from routekit.errors import ConfigError, ProviderUnavailableError, RoutekitError
from routekit.testing import Reply, ScriptedProvider, plugin_module
from routekit.types import CallRecord, RequestEnded, Savings, Usage

Face = Any


@pytest.fixture(params=FACES, ids=lambda face: face.name)
def face(request: pytest.FixtureRequest) -> Face:
    return request.param


def router_at(home: Path, *scripts: Any, **config: Any) -> Router:
    tables = [
        {"name": name, "provider": "scripted", "model": f"model-{name}", "price": {"input": place, "output": 2 * place}}
        for place, name in enumerate("ab", start=1)
    ]
    usage = Usage(input_tokens=1000, output_tokens=500)
    return Router(
        {"deployments": tables, "records": {"enabled": True}, "router": {"max_attempts": 2}, **config},
        plugins=[plugin_module(ScriptedProvider())],
        providers={
            "a": ScriptedProvider(*scripts, Reply("ok", usage=usage)),
            "b": ScriptedProvider(Reply("ok", usage=usage)),
        },
        env={"ROUTEKIT_PLUGINS": "", "ROUTEKIT_HOME": str(home)},
    )


def records_in(home: Path) -> list[CallRecord]:
    with closing(RecordStore(home / FILE)) as store:
        return list(store.rows())


def test_each_request_is_one_record(face: Face, tmp_path: Path) -> None:
    scopes = {"project": "search", "tag": ["x", "y"]}
    with router_at(tmp_path, ProviderUnavailableError("down"), cache={"use": ["memory"]}) as router:
        first = face.complete(router, "a secret question", scopes=scopes)
        face.complete(router, "a secret question", scopes=scopes)
        face.stream(router, "another", strategy="best")
    fallen, hit, streamed = records_in(tmp_path)
    assert (fallen.id, fallen.outcome, fallen.strategy) == (first.id, "ok", "cheapest")
    assert (fallen.deployment, fallen.model, fallen.provider, fallen.fallbacks) == ("b", "model-b", "scripted", 1)
    assert fallen.scopes == {"project": ("search",), "tag": ("x", "y")}
    assert fallen.cost_nanos == first.cost.nanos
    assert fallen.savings == first.savings
    assert [attempt["outcome"] for attempt in fallen.attempts] == ["error", "ok"]
    assert fallen.decision["ranked"][0]["deployment"] == "a"
    assert (hit.cache, hit.cost_nanos, hit.attempts) == ("hit", 0, ())
    assert hit.savings is not None
    assert hit.savings.caching_nanos > 0
    assert (streamed.deployment, streamed.strategy) == ("b", "best")
    assert streamed.ttft_s is not None
    assert abs(streamed.at - time.time()) < 60
    assert b"secret question" not in b"".join(path.read_bytes() for path in tmp_path.glob(f"{FILE}*"))


def test_failures_are_records_too(face: Face, tmp_path: Path) -> None:
    failing = router_at(tmp_path, *[ProviderUnavailableError("key sk-12345")] * 3)
    with failing as router, pytest.raises(RoutekitError):
        face.complete(router, "hi", model="a")
    (record,) = records_in(tmp_path)
    assert record.outcome == "AllAttemptsFailedError"
    assert record.deployment is None
    assert record.savings is None
    assert len(record.attempts) == 2


def test_the_file_is_the_owners_alone_and_made_when_needed(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with router_at(home) as router:
        assert not (home / FILE).exists()
        router.complete("hi")
    assert stat.S_IMODE((home / FILE).stat().st_mode) == 0o600


def test_records_are_off_where_something_stands_in_for_the_machine_unless_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with router_at(tmp_path, records={"enabled": None}) as router:
        router.complete("hi")
    assert not (tmp_path / FILE).exists()
    monkeypatch.setenv("ROUTEKIT_HOME", str(tmp_path / "real"))
    table = {"name": "m", "provider": "scripted", "model": "m", "price": {"input": 1, "output": 1}}
    for enabled, expected in ((False, False), (None, True)):
        config = {"deployments": [table], "records": {"enabled": enabled}}
        with Router(config, plugins=[plugin_module(ScriptedProvider("x"))]) as router:
            router.complete("hi")
        assert (tmp_path / "real" / FILE).exists() is expected


def test_a_disk_that_fails_disturbs_nobody_and_is_said_once(
    face: Face, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / FILE).mkdir()
    with caplog.at_level(logging.WARNING, "routekit.records"), router_at(tmp_path) as router:
        for _ in range(3):
            assert face.complete(router, "hi").text == "ok"
            time.sleep(0.3)
    assert caplog.text.count("left out") == 1


def test_old_records_are_deleted_at_the_next_start(tmp_path: Path) -> None:
    with closing(RecordStore(tmp_path / FILE)) as store:
        store.add([record(at=time.time() - 5 * 86_400), record(at=time.time())])
    with router_at(tmp_path, records={"enabled": True, "keep_days": 2}) as router:
        router.complete("hi")
    assert len(records_in(tmp_path)) == 2


def test_processes_and_threads_write_side_by_side(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nsys.path[:0]=[sys.argv[1]]\n"
        "from tests.unit.builtin.observers.records.test_observer import router_at\n"
        "with router_at(Path(sys.argv[2])) as router:\n"
        "    for _ in range(50): router.complete('hi')\n"
    )
    root = str(Path(__file__).parents[5])
    running = [subprocess.Popen([sys.executable, "-c", code, root, str(tmp_path)], cwd=root) for _ in range(3)]
    with router_at(tmp_path) as router:
        threads = [threading.Thread(target=lambda: [router.complete("hi") for _ in range(25)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [one.wait(60) for one in running] == [0, 0, 0]
    found = records_in(tmp_path)
    assert len(found) == len({each.id for each in found}) == 250


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_writes_too(tmp_path: Path) -> None:
    observer = RecordsObserver(tmp_path / FILE)
    observer(RequestEnded(request_id="parent", at=1.0))
    child = os.fork()
    if child == 0:
        code = 1
        try:
            observer(RequestEnded(request_id="child", at=time.time()))
            observer.close()
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    observer(RequestEnded(request_id="later", at=time.time()))
    observer.close()
    assert {each.id for each in records_in(tmp_path)} - {"parent"} == {"child", "later"}


def record(**changes: Any) -> CallRecord:
    fields: dict[str, Any] = {
        "id": "r", "at": 1_764_000_000.0, "outcome": "ok", "strategy": "cheapest", "deployment": "a", "model": "m",
        "provider": "p", "cost_nanos": 100, "usage": Usage(input_tokens=10, output_tokens=5), "cache": "miss",
    }  # fmt: skip
    return CallRecord(**{**fields, **changes})


def saving(**parts: int) -> Savings:
    names = ("routing_nanos", "compression_nanos", "caching_nanos", "overhead_nanos")
    values = {name: parts.get(name, 0) for name in names}
    total = values["routing_nanos"] + values["compression_nanos"] + values["caching_nanos"] - values["overhead_nanos"]
    return Savings(baseline="b", baseline_nanos=100 + total, cost_nanos=100, **values)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RecordStore]:
    with closing(RecordStore(tmp_path / FILE)) as store:
        store.add(
            [
                record(id="1", scopes={"tag": ("x", "y"), "user": ("ada",)}, savings=saving(routing_nanos=50)),
                record(id="2", scopes={"tag": ("x",)}, cache="hit", cost_nanos=0, savings=None),
                record(id="3", deployment="c", at=1_764_100_000.0, cost_nanos=500, fallbacks=1,
                       savings=saving(caching_nanos=7, overhead_nanos=3)),
                record(id="4", deployment=None, outcome="BudgetExceededError", cost_nanos=0, cost_known=False),
            ]
        )  # fmt: skip
        yield store


def test_records_come_back_as_they_were(store: RecordStore) -> None:
    found = list(store.rows())
    assert [each.id for each in found] == ["1", "2", "4", "3"]
    assert found[0] == record(id="1", scopes={"tag": ("x", "y"), "user": ("ada",)}, savings=saving(routing_nanos=50))
    assert [each.id for each in store.rows(newest_first=True, limit=2)] == ["3", "4"]
    assert [each.id for each in store.rows(since=1_764_050_000)] == ["3"]
    assert [each.id for each in store.rows(until=1_764_050_000)] == ["1", "2", "4"]


def test_spending_is_summed_by_anything(store: RecordStore) -> None:
    (total,) = store.spend()
    assert (total.calls, total.cost_nanos, total.hits, total.fallbacks, total.failures) == (4, 600, 1, 1, 1)
    assert (total.routing_nanos, total.caching_nanos, total.overhead_nanos) == (50, 7, 3)
    assert total.unpriced == 1
    assert [(row.name, row.cost_nanos) for row in store.spend("deployment")] == [("c", 500), ("a", 100), ("-", 0)]
    assert {row.name: row.calls for row in store.spend("tag")} == {"x": 2, "y": 1, "-": 2}
    assert {row.name: row.calls for row in store.spend("user")} == {"ada": 1, "-": 3}
    assert [row.name for row in store.spend("day")] == ["2025-11-24", "2025-11-25"]
    assert store.spend("deployment", since=1_764_050_000)[0].calls == 1
    assert {row.name for row in store.spend('odd"; DROP TABLE calls')} == {"-"}
    assert len(list(store.rows())) == 4


def test_a_file_of_another_layout_is_refused(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / FILE)) as database:
        database.execute("PRAGMA user_version = 9")
    with closing(RecordStore(tmp_path / FILE)) as store, pytest.raises(ConfigError, match="layout 9"):
        store.spend()


def test_no_file_is_no_records(tmp_path: Path) -> None:
    store = RecordStore(tmp_path / FILE)
    assert list(store.rows()) == store.spend() == store.spend("tag") == []
    assert not (tmp_path / FILE).exists()
