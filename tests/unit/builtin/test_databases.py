"""SQLite files of one process: other programs that come, write, are killed and go; forks; files that are replaced."""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.ledger_program import entry, record, spend

from routekit.builtin import databases
from routekit.builtin.budgets.ledger.access import LedgerFile
from routekit.builtin.budgets.ledger.budget import LedgerBudget
from routekit.builtin.caches.disk.cache import DiskCache
from routekit.builtin.databases import shared
from routekit.builtin.observers.records.store import RecordStore
from routekit.types import CacheKey, Charge, Money

ROOT = Path(__file__).parents[3]
CHARGE = Charge(key="global|total", scope="global", limit=Money(10**9))
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
posix = pytest.mark.skipif(os.name != "posix", reason="POSIX locks")


class Program:
    """A program beside this one, told line by line what to do."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.ledger_program", str(folder)],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def __call__(self, line: str) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.end()

    def end(self) -> None:
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            with contextlib.suppress(BrokenPipeError):
                stream.close()
        self.process.wait()


class Stores:
    """One ledger, one file of records and one cache of this process."""

    def __init__(self, folder: Path) -> None:
        self.ledger = LedgerBudget(folder / "ledger.sqlite3", busy_timeout_s=5)
        self.records = RecordStore(folder / "decisions.sqlite3")
        self.cache = DiskCache(folder / "cache")

    def write(self, name: str) -> None:
        spend(self.ledger, 1)
        self.records.add([record(name)])
        self.cache.set(CacheKey(namespace="n", digest=name), entry())

    def seen(self, names: list[str]) -> tuple[int, set[str], set[str]]:
        found = {name for name in names if self.cache.get(CacheKey(namespace="n", digest=name)) is not None}
        return self.ledger.balance(CHARGE).spent.nanos, {each.id for each in self.records.rows()}, found

    def close(self) -> None:
        for store in (self.ledger, self.records, self.cache):
            store.close()


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Any]:
    made: list[Program] = []

    def start() -> Program:
        made.append(Program(tmp_path))
        return made[-1]

    yield start
    for program in made:
        program.end()


@posix
@pytest.mark.parametrize("second", ["kept", "closed", "dropped"])
def test_nothing_is_lost_with_two_users_in_one_process_and_others_that_come_and_go(
    tmp_path: Path, programs: Any, second: str
) -> None:
    """A close of any other descriptor would drop this process's locks, and the others would fold the log away."""
    names = ["first"]
    ours = Stores(tmp_path)
    ours.write("first")
    another = Stores(tmp_path)
    another.write("second")
    names.append("second")
    if second == "closed":
        another.close()
    elif second == "dropped":
        del another
        gc.collect()
    for round_ in range(3):
        for way in ("close", "kill"):
            name = f"{way}{round_}"
            program = programs()
            assert [program(f"spend {1}"), program(f"record {name}"), program(f"set {name}")] == ["ok"] * 3
            if way == "kill":
                program.kill()
            else:
                assert program("close") == "ok"
                program.end()
            mine = f"mine-{name}"
            ours.write(mine)
            names += [name, mine]
            assert ours.seen(names) == (len(names), set(names), set(names))
    last = programs()
    assert last("spent") == str(len(names))
    assert last("verify") == "ok"
    assert set(last("recorded").split(",")) == set(names)
    assert {last(f"get {name}") for name in names} == {"hit"}
    ours.close()


@posix
def test_a_file_that_exists_is_opened_by_sqlite_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stores = Stores(tmp_path)
    stores.write("a")
    opened: list[str] = []
    real = os.open

    def watched(path: Any, flags: int, *rest: Any, **options: Any) -> int:
        handle = real(path, flags, *rest, **options)
        opened.append(os.fspath(path))
        return handle

    monkeypatch.setattr(os, "open", watched)
    for _ in range(2):
        again = Stores(tmp_path)
        again.write("b")
        again.seen(["b"])
        again.ledger.verify()
        list(again.ledger.entries())
        again.close()
    stores.write("c")
    stores.close()
    assert not [path for path in opened if "sqlite3" in path or "cache.db" in path]


@posix
def test_new_files_are_the_owners_alone_from_the_first_moment(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        stores = Stores(tmp_path)
        stores.write("a")
    finally:
        os.umask(before)
    modes = {path.stat().st_mode & 0o777 for path in tmp_path.rglob("*") if path.is_file()}
    assert modes == {0o600}
    stores.close()


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_children_that_outlive_their_parent_share_one_truth(tmp_path: Path, programs: Any) -> None:
    """SQLite's book of locks is copied by a fork, the locks are not: a child must begin with a clean book."""
    stores = Stores(tmp_path)
    stores.write("parent")
    go, done = os.pipe(), os.pipe()
    middle = os.fork()
    if middle == 0:
        code = 1
        try:
            stores.write("child")
            os.write(done[1], b"1")
            os.read(go[0], 1)
            stores.write("child-later")
            os.write(done[1], b"2")
            code = 0
        finally:
            os._exit(code)
    assert os.read(done[0], 1) == b"1"
    stores.close()  # the parent goes: what the child has open must be locked in its own name
    other = programs()
    assert other("spend 1") == "ok"
    assert [other("record other"), other("set other"), other("close")] == ["ok"] * 3
    os.write(go[1], b"x")
    assert os.read(done[0], 1) == b"2"
    assert os.waitpid(middle, 0)[1] == 0
    last = Stores(tmp_path)
    names = ["parent", "child", "child-later", "other"]
    assert last.seen(names) == (4, set(names), set(names))
    assert last.ledger.verify() == []
    last.close()
    for handle in (*go, *done):
        os.close(handle)


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_nothing_of_sqlites_is_open_at_a_fork_and_both_sides_go_on(tmp_path: Path) -> None:
    stores = Stores(tmp_path)
    stores.write("a")
    child = os.fork()
    if child == 0:
        held = []
        for name in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else ():
            with contextlib.suppress(FileNotFoundError):  # what listed them is one of them
                held.append(os.readlink(f"/proc/self/fd/{name}"))
        os._exit(any(str(tmp_path) in path for path in held))
    assert os.waitpid(child, 0)[1] == 0
    stores.write("b")
    assert stores.seen(["a", "b"])[0] == 2
    stores.close()


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_forked_in_the_middle_of_a_transaction_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(databases, "FORK_WAIT_S", 0.05)
    ledger = LedgerBudget(tmp_path / "ledger.sqlite3")
    spend(ledger, 1)
    inside, go_on = threading.Event(), threading.Event()

    def slow() -> None:
        with shared(LedgerFile, ledger.file, ledger).taken(1):
            inside.set()
            go_on.wait(20)

    thread = threading.Thread(target=slow)
    thread.start()
    inside.wait(20)
    child = os.fork()
    if child == 0:
        told = ""
        try:
            spend(ledger, 1)
        except Exception as error:
            told = f"{type(error).__name__} {error}"
        os._exit("BudgetUnavailableError" not in told or "forked" not in told)
    go_on.set()
    thread.join()
    assert os.waitpid(child, 0)[1] == 0
    spend(ledger, 1)
    assert ledger.balance(CHARGE).spent.nanos == 2
    ledger.close()


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_ends_that_wait_at_a_fork_are_the_parents(tmp_path: Path) -> None:
    ledger = LedgerBudget(tmp_path / "ledger.sqlite3", busy_timeout_s=0.05)
    spend(ledger, 1)
    with contextlib.closing(sqlite3.connect(ledger.file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        from tests.support.ledger_program import hold

        with contextlib.suppress(Exception):
            ledger.settle(hold(5), Money(5))
        child = os.fork()
        if child == 0:
            os._exit(bool(shared(LedgerFile, ledger.file, ledger).ends))
        assert os.waitpid(child, 0)[1] == 0
        other.execute("ROLLBACK")
    ledger.close()


def test_what_is_dropped_is_closed_by_ordinary_code(tmp_path: Path) -> None:
    stores = Stores(tmp_path)
    spend(stores.ledger, 1)
    path = os.path.realpath(stores.ledger.file)
    del stores
    gc.collect()
    assert any(box.content is not None for box in databases._dropped), "a finalizer may only append"
    other = LedgerBudget(tmp_path / "other.sqlite3")
    spend(other, 1)
    assert not databases._dropped
    if os.path.isdir("/proc/self/fd"):
        links = [os.path.realpath(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")]
        assert path not in links
    other.close()


def test_one_process_has_one_connection_per_file(tmp_path: Path) -> None:
    ledgers = [LedgerBudget(tmp_path / "ledger.sqlite3") for _ in range(30)]
    for ledger in ledgers:
        spend(ledger, 1)
    if os.path.isdir("/proc/self/fd"):
        links = [os.path.realpath(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")]
        assert len([link for link in links if link.startswith(str(tmp_path.resolve()))]) <= 3
    for ledger in ledgers[:-1]:
        ledger.close()
    spend(ledgers[-1], 1)
    assert ledgers[-1].balance(CHARGE).spent.nanos == 31
    ledgers[-1].close()


@posix
def test_a_cache_for_many_tenants_keeps_few_files_open(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0

    def user(start: int) -> None:
        for number in range(start, 80, 4):
            cache.set(CacheKey(namespace=f"user:{number}", digest="1"), entry())

    threads = [threading.Thread(target=user, args=(start,)) for start in range(4)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, before + 160), hard))
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found = sum(cache.get(CacheKey(namespace=f"user:{number}", digest="1")) is not None for number in range(80))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert found == 80
    cache.close()


@posix
def test_a_moment_without_descriptors_destroys_nothing(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path)
    names = [str(number) for number in range(10)]
    for name in names:
        cache.set(CacheKey(namespace="n", digest=name), entry())
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for left in range(8):
        cache.close()
        hogs: list[int] = []
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))
        try:
            with contextlib.suppress(OSError):
                while True:
                    hogs.append(os.open(os.devnull, os.O_RDONLY))
            for _ in range(left):
                os.close(hogs.pop())
            with contextlib.suppress(OSError, sqlite3.Error):
                cache.get(CacheKey(namespace="n", digest="1"))
        finally:
            for hog in hogs:
                os.close(hog)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert all(cache.get(CacheKey(namespace="n", digest=name)) is not None for name in names)
    cache.close()


def test_a_partition_that_one_program_begins_again_is_shared_again(tmp_path: Path, programs: Any) -> None:
    one, two = programs(), programs()
    assert one("set before") == "ok"
    assert two("get before") == "hit"
    for file in tmp_path.glob("cache/*/cache.db*"):
        if not file.name.endswith("-shm"):
            file.write_bytes(b"\xff" * file.stat().st_size)
    two("get before")
    for number in range(3):
        assert [one(f"set a{number}"), two(f"set b{number}")] == ["ok", "ok"]
        assert (two(f"get a{number}"), one(f"get b{number}")) == ("hit", "hit")
    assert two("clear") == "ok"
    assert one("get a1") == "miss", "an erasure reaches every process"


def test_an_error_on_the_old_partition_does_not_throw_the_new_one_away(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path)
    cache.set(CacheKey(namespace="n", digest="1"), entry())
    (folder,) = (path for path in tmp_path.iterdir() if path.is_dir())

    def fail(partition: Any) -> None:
        folder.rename(folder.with_name("elsewhere"))
        other = DiskCache(tmp_path / "other")  # another program begins it again meanwhile
        other.set(CacheKey(namespace="n", digest="2"), entry())
        other.close()
        (tmp_path / "other" / folder.name).rename(folder)
        raise sqlite3.OperationalError("Could not decode to UTF-8 column")

    assert cache._with(folder.name, fail) is None
    assert (folder / "cache.db").exists()
    assert len(list(tmp_path.glob("*.old-*"))) == 0
    cache.close()
