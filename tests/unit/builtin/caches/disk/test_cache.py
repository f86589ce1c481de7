from __future__ import annotations

import contextlib
import json
import logging
import multiprocessing
import os
import pickle
import shutil
import sqlite3
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import diskcache
import pytest
from tests.support.clock import Now
from tests.support.entries import entry, key

from routekit.builtin.caches.disk.cache import PLUGIN, DiskCache, _mac
from routekit.plugin import PluginContext, encode_entry, entrycodec


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[DiskCache]:
    cache = DiskCache(tmp_path / "cache", clock=Now())
    yield cache
    cache.close()


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "routekit.cache")


class Boom:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (self.path,))


def partition(cache: DiskCache) -> Path:
    (found,) = [path for path in cache.directory.iterdir() if path.is_dir()]
    return found


def again(cache: DiskCache) -> DiskCache:
    """Another process' view: nothing is open yet."""
    cache.close()
    return DiskCache(cache.directory, clock=Now())


@contextlib.contextmanager
def tampered(cache: DiskCache) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(partition(cache) / "cache.db")) as database:
        yield database
        database.commit()


def opened(cache: DiskCache, name: str) -> Any:
    return cache._with(name, lambda partition: partition)


def sealed(cache: DiskCache, name: str, payload: bytes) -> bytes:
    return _mac(opened(cache, name).secret, name, "1", payload) + payload


def works(cache: DiskCache) -> None:
    cache.set(key("after"), entry("still works"))
    assert cache.get(key("after")) == entry("still works")


def test_an_entry_comes_back_whole_in_another_process(cache: DiskCache) -> None:
    stored = entry("é", deltas=({"content": "é"},), expires_at=5000.5)
    cache.set(key("1"), stored)
    other = again(cache)
    assert other.get(key("1")) == stored
    other.delete(key("1"))
    assert other.get(key("1")) is None
    other.close()


def test_an_expired_entry_is_a_miss(tmp_path: Path) -> None:
    clock = Now()
    cache = DiskCache(tmp_path, clock=clock)
    cache.set(key("1"), entry(expires_at=1010.0))
    assert cache.get(key("1")) is not None
    clock.now = 1010.0
    assert cache.get(key("1")) is None
    cache.set(key("1"), entry(expires_at=1010.0))
    clock.now = 1000.0
    assert cache.get(key("1")) is None
    cache.close()


def test_namespaces_are_directories_that_tell_nothing(cache: DiskCache) -> None:
    cache.set(key("1", "tenant-a"), entry("a"))
    cache.set(key("1", "../../tenant-b"), entry("b"))
    directories = [path.name for path in cache.directory.iterdir() if path.is_dir()]
    assert len(directories) == 2
    assert not any("tenant" in name for name in directories)
    cache.clear("tenant-a")
    assert cache.get(key("1", "tenant-a")) is None
    assert cache.get(key("1", "../../tenant-b")) == entry("b")
    cache.clear()
    assert again(cache).get(key("1", "../../tenant-b")) is None


def test_everything_is_the_owners_alone(cache: DiskCache) -> None:
    before = os.umask(0o000)
    try:
        cache.set(key("1"), entry())
    finally:
        os.umask(before)
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in [cache.directory, *cache.directory.rglob("*")]}
    assert len(modes) >= 5
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o600}


def test_a_directory_that_was_open_to_others_is_closed(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir(mode=0o755)
    cache = DiskCache(tmp_path / "cache")
    works(cache)
    assert stat.S_IMODE((tmp_path / "cache").stat().st_mode) == 0o700
    cache.close()


@pytest.mark.parametrize("raw", [0, 1])
@pytest.mark.parametrize("mode", [0, 1, 2, 3, 4, "4", None])
def test_a_pickle_in_a_row_is_never_loaded(cache: DiskCache, tmp_path: Path, mode: Any, raw: int) -> None:
    cache.set(key("1"), entry())
    bomb = pickle.dumps(Boom(tmp_path / "executed"))
    with tampered(cache) as database:
        database.execute("UPDATE Cache SET mode = ?, value = ?, raw = ?", (mode, bomb, raw))
        database.execute("INSERT INTO Cache (key, raw, mode, value) VALUES (?, 0, 4, ?)", (bomb, bomb))
    other = again(cache)
    assert other.get(key("1")) is None
    works(other)
    other.clear()
    other.close()
    assert not (tmp_path / "executed").exists()


def test_the_stock_disk_would_have_executed_that(tmp_path: Path) -> None:
    with diskcache.Cache(str(tmp_path / "stock"), disk=diskcache.JSONDisk) as stock:
        stock["k"] = 1
        stock._sql("UPDATE Cache SET mode = 4, value = ?", (pickle.dumps(Boom(tmp_path / "executed")),))
        with contextlib.suppress(Exception):
            stock.get("k")
    assert (tmp_path / "executed").exists()


@pytest.mark.parametrize("mode", [1, 2, 3, 4])
def test_a_file_that_a_row_names_is_neither_read_nor_deleted(cache: DiskCache, tmp_path: Path, mode: int) -> None:
    cache.set(key("1"), entry())
    cache.set(key("2"), entry())
    victim = tmp_path / "victim"
    with contextlib.closing(again(cache)) as other:
        other.get(key("1"))
        victim.write_bytes(sealed(other, partition(cache).name, encode_entry(entry())))
    with tampered(cache) as database:
        database.execute(
            "UPDATE Cache SET mode = ?, filename = ?, value = NULL, expire_time = 1", (mode, "../../victim")
        )
        database.execute("UPDATE Cache SET expire_time = NULL WHERE key = '1'")
    other = again(cache)
    assert other.get(key("1")) is None
    other.set(key("1"), entry("new"))  # replaces the row, and culls the expired one
    other.delete(key("2"))
    other.clear()
    works(other)
    other.close()
    assert victim.exists()


def test_a_value_that_was_changed_or_moved_is_a_miss(cache: DiskCache) -> None:
    cache.set(key("1"), entry("one"))
    cache.set(key("2"), entry("two"))
    cache.set(key("1", "b"), entry("other tenant"))
    with contextlib.closing(again(cache)) as other:
        ours, theirs = (opened(other, name) for name in sorted(p.name for p in cache.directory.glob("?" * 32)))
        value = bytearray(ours["1"])
        theirs["1"], ours["2"] = bytes(value), bytes(value)
        for place in range(0, len(value), 7):
            value[place] ^= 1
            ours["1"] = bytes(value)
            assert other.get(key("1")) is None or other.get(key("1", "b")) is None
            value[place] ^= 1
        assert sum(other.get(k) is not None for k in (key("1"), key("2"), key("1", "b"))) == 1
        for short in (b"", b"x", bytes(32)):
            ours["1"] = theirs["1"] = short
            assert other.get(key("1")) is None


def test_without_the_key_nothing_is_believed(cache: DiskCache) -> None:
    cache.set(key("1"), entry())
    (cache.directory / "key").write_bytes(b"k" * 32)
    assert again(cache).get(key("1")) is None


def test_a_key_that_others_could_read_is_replaced(cache: DiskCache) -> None:
    cache.set(key("1"), entry())
    secret = (cache.directory / "key").read_bytes()
    (cache.directory / "key").chmod(0o644)
    other = again(cache)
    assert other.get(key("1")) is None
    assert (cache.directory / "key").read_bytes() != secret
    works(other)
    other.close()


@pytest.mark.parametrize("damage", ["empty", "half", "noise", "header", "pages", "directory", "text"])
def test_a_damaged_database_is_a_miss_and_begun_again(cache: DiskCache, damage: str) -> None:
    for number in range(50):
        cache.set(key(str(number)), entry("x" * 500))
    with tampered(cache) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    cache.close()
    file = partition(cache) / "cache.db"
    data = bytearray(file.read_bytes())
    if damage == "directory":
        file.unlink()
        file.mkdir()
    elif damage == "pages":
        for place in range(4096, len(data), 3):
            data[place] ^= 0xFF
        file.write_bytes(data)
    else:
        bad = {"empty": b"", "half": data[: len(data) // 2], "noise": os.urandom(9000),
               "header": b"x" * 100 + data[100:], "text": b"hello"}  # fmt: skip
        file.write_bytes(bad[damage])
    other = again(cache)
    for number in range(50):
        assert other.get(key(str(number))) in (None, entry("x" * 500))
    works(other)
    other.close()


def test_damage_while_the_cache_is_open_is_a_miss(cache: DiskCache) -> None:
    for number in range(200):
        cache.set(key(str(number)), entry(os.urandom(400).hex()))
    with tampered(cache) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with (partition(cache) / "cache.db").open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(80_000))
    for number in range(200):
        cache.get(key(str(number)))
    works(cache)


def test_a_directory_removed_under_way_is_made_again(cache: DiskCache) -> None:
    cache.set(key("1"), entry())
    shutil.rmtree(cache.directory)

    def elsewhere() -> None:  # a new thread needs a new connection
        works(cache)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert again(cache).get(key("after")) == entry("still works")


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER evil AFTER INSERT ON Cache BEGIN DELETE FROM Cache; END",
        "CREATE TRIGGER Settings_evil_insert AFTER INSERT ON Cache BEGIN UPDATE Settings SET value = 9; END",
        "CREATE VIEW Evil AS SELECT * FROM Cache",
        "CREATE TABLE Evil (x)",
        "INSERT INTO Settings VALUES ('sqlite_temp_store_directory', '''/tmp''')",
        "INSERT INTO Settings VALUES ('disk_evil', 1)",
        "INSERT INTO Settings VALUES ('get', 'x')",
        "UPDATE Settings SET value = 'x' WHERE key = 'count'",
        "DROP TABLE Cache",
    ],
)
def test_a_schema_of_somebody_elses_is_not_used(cache: DiskCache, statement: str) -> None:
    cache.set(key("1"), entry())
    with tampered(cache) as database:
        database.execute(statement)
    other = again(cache)
    assert other.get(key("1")) is None
    works(other)
    with tampered(other) as database:
        assert not database.execute("SELECT 1 FROM sqlite_master WHERE name LIKE '%evil%'").fetchall()
        assert not database.execute("SELECT 1 FROM Settings WHERE key LIKE '%evil%' OR key = 'get'").fetchall()
    other.close()


def test_settings_in_the_database_change_nothing(cache: DiskCache) -> None:
    cache.set(key("1"), entry())
    with tampered(cache) as database:
        database.execute("UPDATE Settings SET value = 'none' WHERE key = 'eviction_policy'")
        database.execute("UPDATE Settings SET value = 'off; DROP TABLE Cache' WHERE key = 'sqlite_journal_mode'")
    with contextlib.closing(again(cache)) as other:
        assert other.get(key("1")) == entry()
        found = other._with(
            partition(other).name,
            lambda opened: (opened.eviction_policy, opened._sql("PRAGMA journal_mode").fetchone()[0]),
        )
        assert found == ("least-recently-stored", "wal")


@pytest.mark.parametrize("name", ["cache.db", "cache.db-wal", "key", "partition", "lock"])
def test_links_are_not_followed(cache: DiskCache, tmp_path: Path, name: str) -> None:
    cache.set(key("1"), entry())
    cache.close()
    outside = tmp_path / "outside"
    outside.mkdir()
    with contextlib.closing(sqlite3.connect(outside / "database")) as database:
        database.execute("CREATE TABLE mine (x)")
    before = (outside / "database").read_bytes()
    if name == "partition":
        path = partition(cache)
        shutil.rmtree(path)
        path.symlink_to(outside, target_is_directory=True)
    else:
        path = cache.directory / name if name in ("key", "lock") else partition(cache) / name
        path.unlink(missing_ok=True)
        path.symlink_to(outside / "database")
    other = again(cache)
    if name == "lock":
        with pytest.raises(OSError):  # noqa: PT011 - refused, whatever the platform calls it
            other.get(key("1"))
    else:
        assert other.get(key("1")) is None
        works(other)
    other.close()
    assert (outside / "database").read_bytes() == before
    assert [path.name for path in outside.iterdir()] == ["database"]


def test_a_rollback_journal_is_never_played_back(cache: DiskCache) -> None:
    cache.set(key("1"), entry())
    cache.close()
    (partition(cache) / "cache.db-journal").write_bytes(b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" + bytes(504))
    other = again(cache)
    assert other.get(key("1")) is None
    works(other)
    other.close()


@pytest.mark.parametrize("bomb", [b" " * (entrycodec.MAX_BYTES + 1), b"[" * 500_000, b"{}", b"null"])
def test_a_bomb_that_is_authentic_is_a_miss(cache: DiskCache, bomb: bytes) -> None:
    import zlib

    cache.set(key("1"), entry())
    payload = b"\x02" + zlib.compress(bomb)
    name = partition(cache).name
    opened(cache, name)["1"] = sealed(cache, name, payload)
    assert cache.get(key("1")) is None


def test_a_disk_that_cannot_be_written_raises(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(OSError, match="cache"):
        DiskCache(tmp_path / "cache").set(key("1"), entry())


def test_what_is_no_json_raises_and_stores_nothing(cache: DiskCache) -> None:
    with pytest.raises(TypeError):
        cache.set(key("1"), entry(message={"content": object()}))
    assert cache.get(key("1")) is None


def test_the_size_limit_holds(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, size_limit_mb=1)
    for number in range(400):
        cache.set(key(str(number)), entry(os.urandom(4000).hex()))
    assert sum(path.stat().st_size for path in partition(cache).glob("cache.db")) < 2 * 1024 * 1024
    assert cache.get(key("399")) is not None
    assert cache.get(key("0")) is None
    cache.close()


def test_no_text_of_the_request_is_in_the_clear_key(cache: DiskCache) -> None:
    cache.set(key("1", "namespace-of-a-customer"), entry())
    for path in cache.directory.rglob("*"):
        assert "customer" not in path.name
        if path.is_file():
            assert b"namespace-of-a-customer" not in path.read_bytes()


def _store(directory: str, name: str) -> None:
    cache = DiskCache(directory)
    for number in range(40):
        with contextlib.suppress(diskcache.Timeout):
            cache.set(key(f"{name}{number}"), entry(name))
    assert cache.get(key(f"{name}39")) is not None
    cache.close()


def test_processes_share_it_from_the_first_moment(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_store, args=(str(tmp_path / "cache"), name)) for name in "abc"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    cache = DiskCache(tmp_path / "cache")
    assert sum(cache.get(key(f"{name}{number}")) is not None for name in "abc" for number in range(40)) > 100
    cache.close()


def test_the_registration_uses_the_home_directory(tmp_path: Path) -> None:
    cache = PLUGIN.factory(PLUGIN.options(), PluginContext(home=tmp_path, env={}))
    assert not list(tmp_path.iterdir()), "nothing is written before it is needed"
    works(cache)
    assert (tmp_path / "cache" / "key").exists()
    assert json.loads(json.dumps(PLUGIN.options().model_dump())) == {"size_limit_mb": 256.0}
    cache.close()
