"""A fleet in a bad hour: failovers, evictions, lost answers, lost ends; and what an operator does about it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from loopback import Proxy
from redis_server import Server
from test_redis_failures import GLOBAL, hold, opened, used

from routekit.errors import BudgetExceededError, BudgetUnavailableError, ConfigError
from routekit.types import Charge, LedgerEntry, Limits, Money
from routekit_redis.ledger import RedisLedger
from routekit_redis.options import RedisLedgerOptions, RedisOptions
from routekit_redis.shared import RedisShared
from routekit_redis.windows import ends_at

BIG = Charge(key="big|total", scope="global", limit=Money(10**9), warn_at=(0.5,))
OLD = Charge(key="global|day:2020-01-01", scope="global", limit=Money(10**9))


def until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def on(proxy: Proxy, **options: object) -> RedisLedger:
    return RedisLedger(RedisLedgerOptions.model_validate({"url": proxy.url, "timeout_s": 2, **options}))


def test_a_request_takes_two_round_trips(server: Server) -> None:
    proxy = Proxy(server.port)
    ledger = on(proxy)
    ledger.begin(hold("first", 1, BIG))
    ledger.settle(hold("first", 1, BIG), Money(1))
    before = proxy.asked
    for number in range(10):
        one = hold(f"h{number}", 10, BIG)
        ledger.begin(one)
        ledger.settle(one, Money(5))
        seen = ledger.glance(BIG)
        assert seen is not None
        assert seen.spent == Money(1 + 5 * (number + 1))
    assert proxy.asked - before == 20
    ledger.close()
    proxy.close()


def test_a_hold_begun_is_sent_and_is_uncertain_when_lost(server: Server) -> None:
    with opened(server) as ledger:
        ledger.begin(hold("a", 5, BIG, lease_s=0.05))
        ledger.begin(hold("b", 5, BIG))
        assert asyncio.run(ledger.abegin(hold("c", 5, BIG))) is None
        time.sleep(0.1)
        assert {found.id: found.state for found in ledger.holds()} == {"a": "uncertain", "b": "sent", "c": "sent"}
        assert used(ledger, BIG) == (5, 10)
        assert ledger.verify() == []


@pytest.mark.parametrize("gone", ["b:big|total", "keys", "entries", "meta"])
def test_what_is_missing_is_not_nothing_until_it_is_adopted(server: Server, gone: str) -> None:
    with opened(server) as ledger, server.client() as client:
        for name in ("a", "b"):
            ledger.reserve(hold(name, 10, BIG))
        ledger.settle(hold("a", 10, BIG), Money(7))
        client.delete(f"{{routekit:default}}:{gone}")
        for _ in range(2):
            with pytest.raises(BudgetUnavailableError):
                ledger.reserve(hold("c", 1, BIG))
        assert ledger.adopt()
        ledger.reserve(hold("d", 1, BIG))
        if gone != "meta":
            assert used(ledger, BIG) == (7, 11)


def test_an_end_on_a_balance_that_is_missing_waits_for_the_operator(server: Server) -> None:
    with opened(server) as ledger, server.client() as client:
        ledger.reserve(hold("a", 10, BIG))
        client.delete("{routekit:default}:b:big|total")
        ledger.settle(hold("a", 10, BIG), Money(7))
        assert list(ledger._late) == ["a"]
        assert not client.exists("{routekit:default}:b:big|total")
        ledger.adopt()
        for end in ledger._late.values():
            end.not_before = 0.0
        ledger._writer.call()
        until(lambda: used(ledger, BIG) == (7, 0))
        assert ledger.verify() == []


def test_a_loss_is_noticed_adopted_and_what_is_known_is_booked(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in "ab"]
    for folder in folders:
        folder.mkdir()
    old = Server(folders[0])
    new = Server(folders[1], "--replicaof", f"127.0.0.1 {old.port}")
    proxy = Proxy(old.port)
    try:
        until(lambda: new.client().info("replication").get("master_link_status") == "up")
        ledger, other = on(proxy), on(proxy)
        ledger.reserve(hold("base", 100, BIG))
        ledger.settle(hold("base", 100, BIG), Money(100))
        until(lambda: new.client().hget("{routekit:default}:meta", "seq") == b"2")
        new.client().execute_command("REPLICAOF", "127.0.0.1", "1")
        ledger.begin(hold("lost", 50, BIG))
        new.client().execute_command("REPLICAOF", "NO", "ONE")
        old.kill()
        proxy.to = new.port
        ledger.settle(hold("lost", 50, BIG), Money(30))
        assert list(ledger._late) == ["lost"]
        with pytest.raises(BudgetUnavailableError, match="ledger adopt"):
            ledger.begin(hold("more", 1, BIG))
        with pytest.raises(BudgetUnavailableError, match="ledger adopt"):
            other.begin(hold("blind", 1, BIG))  # it has seen nothing itself
        assert any("lost" in sentence for sentence in other.adopt())
        ledger._writer.call()
        until(lambda: not ledger._late)
        assert used(other, BIG) == (130, 0)
        other.settle(hold("lost", 50, BIG), Money(30))
        ledger.settle(hold("lost", 50, BIG), Money(30))
        assert used(ledger, BIG) == (130, 0)
        assert ledger.verify() == []
        ledger.close()
        other.close()
    finally:
        proxy.close()
        old.kill()
        new.kill()


@pytest.mark.parametrize("step", ["begin", "settle"])
def test_an_answer_that_is_lost_counts_once(server: Server, step: str) -> None:
    cut = [False]

    def hook(way: str, data: bytes) -> bytes | None:
        if way == "answer" and cut[0]:
            cut[0] = False
            return None
        return data

    proxy = Proxy(server.port, hook=hook)
    ledger = on(proxy)
    ledger.begin(hold("warm", 1, BIG))
    one = hold("a", 10, BIG)
    cut[0] = step == "begin"
    ledger.begin(one)
    assert used(ledger, BIG) == (0, 11)
    cut[0] = step == "settle"
    ledger.settle(one, Money(4))
    until(lambda: used(ledger, BIG) == (4, 1))
    assert ledger.verify() == []
    ledger.close()
    proxy.close()


def test_an_end_that_overtakes_its_reservation_leaves_no_hold(server: Server) -> None:
    with opened(server) as ledger, opened(server) as other:
        ledger.release(hold("a", 10, BIG))
        with pytest.raises(BudgetUnavailableError, match="ended"):
            other.begin(hold("a", 10, BIG))
        assert used(ledger, BIG) == (0, 0)


def test_ends_that_wait_make_room_for_whoever_is_refused(server: Server) -> None:
    with opened(server) as ledger:
        ledger.reserve(hold("a", 90))

        async def end() -> None:
            ledger.release(hold("a", 90))

        asyncio.run(end())
        ledger.reserve(hold("b", 90))
        with pytest.raises(BudgetExceededError):
            ledger.reserve(hold("c", 90))


def test_old_entries_are_exported_and_folded(server: Server) -> None:
    with opened(server) as ledger:
        for number in range(20):
            one = hold(f"h{number}", 10, BIG)
            ledger.begin(one)
            ledger.settle(one, Money(3))
        ledger.begin(hold("open", 10, BIG))
        written: list[LedgerEntry] = []
        assert ledger.archive(time.time() - 60, written.extend) == 0
        assert ledger.archive(time.time() + 60, written.extend) == 40
        assert sum(entry.spent for entry in written) == 60
        assert [entry.hold for entry in ledger.entries()] == ["open"]
        assert used(ledger, BIG) == (60, 10)
        assert ledger.verify() == []
        ledger.settle(hold("open", 10, BIG), Money(1))
        assert used(ledger, BIG) == (61, 0)
        assert ledger.verify() == []


def test_calls_of_windows_that_ended_long_ago_leave_nothing_behind(server: Server) -> None:
    with opened(server) as ledger, server.client() as client:
        for number in range(50):
            one = hold(f"h{number}", 10, OLD, BIG)
            ledger.begin(one)
            ledger.settle(one, Money(3))
        assert {entry.key for entry in ledger.entries()} == {BIG.key}
        assert client.ttl("{routekit:default}:b:" + OLD.key) > 0
        assert used(ledger, OLD) == (150, 0)
        assert ledger.verify() == []
        client.delete("{routekit:default}:b:" + OLD.key)  # as when its time to live is over
        ledger.reserve(hold("again", 1, OLD))
        assert used(ledger, OLD) == (0, 1)


@pytest.mark.parametrize(
    ("name", "ends"),
    [
        ("day:1970-01-01", 2 * 86_400), ("hour:1970-01-01T00Z", 3600 + 86_400), ("month:1970-01", 32 * 86_400),
        ("week:1970-W02", 12 * 86_400), ("total", 0), ("day", 0), ("day:soon", 0),
        ("rolling:1h:0", 3660 + 86_400), ("rolling:1x:0", 0), ("day:9999-12-31", 0),
    ],
)  # fmt: skip
def test_the_end_of_a_window_is_read_from_its_name(name: str, ends: int) -> None:
    assert ends_at(f"user:a|b|{name}") == ends
    assert ends_at(f"user:a|b|{name}@Europe/Berlin") == ends


def test_slots_are_renewed_by_the_living(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    from routekit_redis import shared as module

    monkeypatch.setattr(module, "SLOT_S", 1.0)
    monkeypatch.setattr(module, "RENEW_S", 0.1)
    shared = RedisShared(RedisOptions(url=server.url, timeout_s=1))
    try:
        assert shared.take("p", "a", 1, Limits(concurrency=1)) is None
        time.sleep(2.0)
        assert shared.take("p", "b", 1, Limits(concurrency=1)) is not None
    finally:
        shared.close()


@pytest.mark.parametrize("kind", [Limits(rpm=1), Limits(tpm=10), Limits(concurrency=1)])
def test_a_repeated_take_counts_once(server: Server, kind: Limits) -> None:
    shared = RedisShared(RedisOptions(url=server.url, timeout_s=1))
    try:
        for _ in range(3):
            assert shared.take("p", "a", 6, kind) is None
        assert shared.take("p", "b", 6, kind) is not None
    finally:
        shared.close()


@pytest.mark.parametrize(
    ("address", "error", "says"),
    [
        ("redis://:wrong@{at}/0", ConfigError, "password"),
        ("redis://{at}/0", ConfigError, "wants a password"),
        ("redis://:pw@{at}/99", ConfigError, "database"),
        ("redis://:pw@{at}/0?what=1", ConfigError, "what"),
        ("rediss://:pw@{at}/0", BudgetUnavailableError, "TLS"),
        ("redis://:pw@no-such-host.invalid:1/0", BudgetUnavailableError, "host"),
        ("redis://:pw@127.0.0.1:1/0", BudgetUnavailableError, "nobody listens"),
        ("redis+sentinel://127.0.0.1:1/mymaster/0", BudgetUnavailableError, "Sentinel"),
        ("redis+sentinel://127.0.0.1:1", ConfigError, "address"),
    ],
)
def test_each_way_of_failing_has_its_sentence(tmp_path: Path, address: str, error: type, says: str) -> None:
    server = Server(tmp_path)
    try:
        server.client().config_set("requirepass", "pw")
        given = address.replace("{at}", f"127.0.0.1:{server.port}")
        ledger = RedisLedger(RedisLedgerOptions(url_env="U", timeout_s=1), env={"U": given})
        with pytest.raises(error, match=says) as told:
            ledger.reserve(hold("a", 1, GLOBAL))
        assert ":pw@" not in str(told.value)
        assert "wrong" not in str(told.value)
    finally:
        server.stop()


RIGHTS = (
    "+eval +evalsha +hget +hmget +hgetall +hset +hsetnx +hincrby +hdel +sadd +srem +scard +sismember +sscan +xadd "
    "+xdel +xlen +xrange +xrevrange +zadd +zrem +zscan +zcard +zscore +zrangebyscore +zremrangebyscore +incrby +decrby "
    "+get +type +del +exists +expire +expireat +scan +time +info +config|get +select +ping +client"
)
"""As docs/how-to/run-a-fleet.md lists them."""


def test_the_documented_rights_are_enough(tmp_path: Path) -> None:
    keys = ["~{routekit:default}:*", "~{routekit:default:*"]
    server = Server(tmp_path)
    try:
        server.client().execute_command("ACL", "SETUSER", "rk", "on", ">pw", *keys, "-@all", *RIGHTS.split())
        env = {"U": server.url.replace("redis://", "redis://rk:pw@")}
        ledger = RedisLedger(RedisLedgerOptions(url_env="U", timeout_s=1), env=env)
        shared = RedisShared(RedisOptions(url_env="U", timeout_s=1), env=env)
        ledger.begin(hold("a", 10, OLD, BIG))
        ledger.renew(hold("a", 10, OLD, BIG))
        ledger.settle(hold("a", 10, OLD, BIG), Money(4))
        ledger.begin(hold("b", 10, BIG, lease_s=0.01))
        time.sleep(0.05)
        assert [found.state for found in ledger.holds()] == ["uncertain"]
        ledger.correct("b", Money(1))
        assert used(ledger, BIG) == (5, 0)
        assert ledger.verify() == []
        assert ledger.archive(time.time() + 60, lambda _: None) > 0
        assert ledger.adopt()
        assert len(list(ledger.balances())) == 2
        assert not ledger._late
        assert shared.take("p", "a", 1, Limits(concurrency=1, rpm=9, tpm=9)) is None
        assert shared.take("p", "b", 1, Limits(concurrency=1)) is not None
        shared.give_back("p", "a")
        until(lambda: shared.take("p", "b", 1, Limits(concurrency=1)) is None)
        shared.eject("p", time.time() + 60, "down")
        until(lambda: bool(server.client().exists("{routekit:default}:ejected")))
        shared._renew()
        heard: list[str] = []
        shared._heard = lambda place, _until, _reason: heard.append(place)
        shared._listen()
        shared.close()
        ledger.close()
    finally:
        server.stop()
