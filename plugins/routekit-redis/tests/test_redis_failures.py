"""What the server may do wrong: be old, forget, die, be slow, be flushed, be full of other people's wishes."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from redis_server import Server

from routekit.errors import BudgetExceededError, BudgetUnavailableError, ConfigError
from routekit.types import Charge, Money, Reservation
from routekit_redis import reinitialise
from routekit_redis.connection import address_of, check_server
from routekit_redis.ledger import MOST, RedisLedger
from routekit_redis.options import RedisLedgerOptions, RedisOptions
from routekit_redis.shared import RedisShared

GLOBAL = Charge(key="global|total", scope="global", limit=Money(100))


def hold(name: str, amount: int, *charges: Charge, lease_s: float = 600) -> Reservation:
    return Reservation(id=name, charges=charges or (GLOBAL,), amount=Money(amount), lease_s=lease_s)


@contextlib.contextmanager
def opened(server: Server, home: Path | None = None, **options: object) -> Iterator[RedisLedger]:
    made = RedisLedgerOptions.model_validate({"url": server.url, "timeout_s": 1.0, **options})
    ledger = RedisLedger(made, home=home)
    try:
        yield ledger
    finally:
        ledger.close()


def used(ledger: RedisLedger, charge: Charge = GLOBAL) -> tuple[int, int]:
    balance = ledger.balance(charge)
    return balance.spent.nanos, balance.reserved.nanos


@pytest.mark.parametrize("amount", [2**53 - 1, 2**53 + 1, 10**17 + 3, 2**61 - 1])
def test_amounts_above_what_a_double_holds_are_exact(shared_server: Server, amount: int) -> None:
    limit = Charge(key="big", scope="global", limit=Money(2 * amount + 1))
    with opened(shared_server, name=f"big{amount}") as ledger:
        for name in ("a", "b"):
            ledger.reserve(hold(name, amount, limit))
        assert used(ledger, limit) == (0, 2 * amount)
        with pytest.raises(BudgetExceededError) as refused:
            ledger.reserve(hold("c", 2, limit))
        assert refused.value.reserved == Money(2 * amount)
        ledger.reserve(hold("d", 1, limit))
        ledger.settle(hold("a", amount, limit), Money(amount - 1))
        assert used(ledger, limit) == (amount - 1, amount + 1)
        assert ledger.verify() == []


def test_an_uncertain_hold_is_corrected_exactly_in_both_directions(shared_server: Server) -> None:
    big = 2**60 + 7
    charge = Charge(key="k", scope="global", limit=Money(2**62))
    for actual in (0, 1, big - 1, big, big + 1, 2**61):
        with opened(shared_server, name=f"correct{actual}") as ledger:
            ledger.reserve(hold("a", big, charge, lease_s=0.2))
            ledger.mark_sent(hold("a", big, charge))
            time.sleep(0.25)
            assert [found.state for found in ledger.holds()] == ["uncertain"]
            ledger.correct("a", Money(actual))
            assert used(ledger, charge) == (actual, 0)
            assert ledger.verify() == []


def test_an_amount_beyond_the_server_is_refused_and_changes_nothing(shared_server: Server) -> None:
    endless = Charge(key="k", scope="global", limit=Money(2**80))
    with opened(shared_server, name="beyond") as ledger:
        with pytest.raises(BudgetUnavailableError, match="more than"):
            ledger.reserve(hold("a", MOST + 1, endless))
        ledger.reserve(hold("b", MOST, endless))
        assert used(ledger, endless) == (0, MOST)


def test_a_server_that_would_lose_spending_is_refused_or_warned_about(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = Server(tmp_path, "--appendonly", "no", "--maxmemory-policy", "allkeys-lru")
    try:
        with opened(server) as ledger, pytest.raises(ConfigError, match=r"append-only.*allkeys-lru"):
            ledger.reserve(hold("a", 1))
        with caplog.at_level(logging.WARNING, "routekit.redis"), opened(server, persistence="warn") as ledger:
            ledger.reserve(hold("a", 1))
        assert "append-only" in caplog.text
        caplog.clear()
        with opened(server, persistence="ignore") as ledger:
            ledger.reserve(hold("b", 1))
        assert not caplog.text
    finally:
        server.stop()


def test_a_server_that_never_flushes_is_refused(tmp_path: Path) -> None:
    server = Server(tmp_path, "--appendfsync", "no")
    try:
        with opened(server) as ledger, pytest.raises(ConfigError, match="flush"):
            ledger.reserve(hold("a", 1))
    finally:
        server.stop()


def test_an_old_server_is_refused() -> None:
    class Old:
        def info(self, section: str) -> dict[str, object]:
            return {"redis_version": "6.2.14"} if section == "server" else {"aof_enabled": 1}

    with pytest.raises(ConfigError, match=r"6\.2\.14"):
        check_server(Old(), "require")


def test_acknowledged_spending_survives_a_kill(server: Server, tmp_path: Path) -> None:
    with opened(server, tmp_path / "home") as ledger:
        for number in range(50):
            one = hold(f"h{number}", 2)
            ledger.reserve(one)
            ledger.settle(one, Money(1))
        time.sleep(1.2)  # everysec: what was acknowledged a second ago is on the disk
        server.kill()
        with pytest.raises(BudgetUnavailableError):
            ledger.reserve(hold("x", 1))
        server.start()
        assert used(ledger) == (50, 0), "it connects again by itself"
        ledger.reserve(hold("y", 50))
        with pytest.raises(BudgetExceededError):
            ledger.reserve(hold("z", 1))
        assert ledger.verify() == []


def test_ends_that_find_no_server_are_written_later(server: Server) -> None:
    with opened(server) as ledger:
        for name in ("a", "b"):
            ledger.reserve(hold(name, 30))
        time.sleep(1.2)
        server.kill()
        ledger.settle(hold("a", 30), Money(20))
        ledger.settle(hold("a", 30), Money(1))
        ledger.release(hold("b", 30))
        server.start()
        ledger.reserve(hold("c", 80))
        assert used(ledger) == (20, 80)


def test_a_dead_or_silent_server_refuses_at_once(server: Server) -> None:
    with opened(server, timeout_s=0.09) as ledger:
        ledger.reserve(hold("a", 1))
        with server.client() as other:
            other.execute_command("CLIENT", "PAUSE", "600", "ALL")
        began = time.monotonic()
        with pytest.raises(BudgetUnavailableError, match="in time"):
            ledger.reserve(hold("b", 1))
        assert time.monotonic() - began < 5, "it hung"
        time.sleep(0.7)
        ledger.reserve(hold("c", 1))
        assert used(ledger) in ((0, 2), (0, 3)), "b may have been taken, and is given back with its lease"
        server.kill()
        with pytest.raises(BudgetUnavailableError, match="cannot be used"):
            ledger.reserve(hold("d", 1))


def test_a_flushed_server_is_not_taken_for_an_empty_ledger(server: Server, tmp_path: Path) -> None:
    home = tmp_path / "home"
    with opened(server, home) as ledger:
        ledger.reserve(hold("a", 90))
        with server.client() as other:
            other.flushall()
        for attempt in range(2):
            with pytest.raises(BudgetUnavailableError, match="lost this ledger"):
                ledger.reserve(hold(f"b{attempt}", 1))
        with pytest.raises(BudgetUnavailableError):
            ledger.mark_sent(hold("a", 90))
        with pytest.raises(BudgetUnavailableError):
            ledger.balance(GLOBAL)
    with opened(server, home) as later, pytest.raises(ConfigError, match="lost the ledger"):
        later.reserve(hold("c", 1))
    with opened(server, home, accept_new=True) as accepted, opened(server, tmp_path / "other") as elsewhere:
        accepted.reserve(hold("d", 90))
        assert used(elsewhere) == (0, 90)
    with server.client() as other:
        other.flushall()
    reinitialise(server.url, home=home)
    for machine in (home, tmp_path / "other"):
        with opened(server, machine) as again:
            again.reserve(hold("e", 90))
            assert used(again) == (0, 90)


def test_two_services_on_one_server_are_apart(shared_server: Server) -> None:
    with opened(shared_server, name="one") as one, opened(shared_server, name="two") as two:
        one.reserve(hold("a", 90))
        two.reserve(hold("a", 90))
        assert used(one) == used(two) == (0, 90)


def test_odd_names_come_back_as_they_were(shared_server: Server) -> None:
    odd = 'user:Zoë \U0001f600 "quoted" {tag} \n\x00 |total'
    charge = Charge(key=odd, scope="user:Zoë", limit=Money(10))
    with opened(shared_server, name="odd") as ledger:
        ledger.reserve(Reservation(id="h {1}", charges=(charge,), amount=Money(3), deployment="d\n", request_id="r"))
        (found,) = ledger.holds()
        assert (found.id, found.keys, found.deployment) == ("h {1}", ((odd, "user:Zoë"),), "d\n")
        (entry,) = ledger.entries()
        assert (entry.key, entry.scope, entry.reserved) == (odd, "user:Zoë", 3)
        assert [key for key, _, _ in ledger.balances()] == [odd]
        assert ledger.verify() == []


def test_verify_finds_a_forged_balance(shared_server: Server) -> None:
    with opened(shared_server, name="forged") as ledger:
        ledger.reserve(hold("a", 60))
        ledger.settle(hold("a", 60), Money(42))
        assert ledger.verify() == []
        with shared_server.client() as other:
            other.hincrby("{routekit:forged}:b:global|total", "s", -1)
        assert ledger.verify() == ["global|total"]


def test_many_entries_are_read_in_pages(shared_server: Server) -> None:
    with opened(shared_server, name="pages") as ledger:
        for number in range(1100):
            ledger.reserve(hold(f"h{number}", 0))
        seqs = [entry.seq for entry in ledger.entries()]
        assert seqs == list(range(1, 1101))
        assert [entry.seq for entry in ledger.entries(1098)] == [1099, 1100]


def test_a_cluster_keeps_it_in_one_slot(tmp_path: Path) -> None:
    server = Server(tmp_path, "--cluster-enabled", "yes", "--cluster-announce-ip", "127.0.0.1")
    try:
        with server.client() as client:
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            until = time.monotonic() + 10
            while b"cluster_state:ok" not in _raw(client) and time.monotonic() < until:
                time.sleep(0.05)
        with opened(server, cluster=True, timeout_s=5) as ledger:
            first, second = hold("a", 60), hold("b", 50)
            ledger.reserve(first)
            ledger.mark_sent(first)
            with pytest.raises(BudgetExceededError):
                ledger.reserve(second)
            ledger.settle(first, Money(10))
            ledger.reserve(second)
            assert used(ledger) == (10, 50)
            assert len(ledger.holds()) == 1
            assert len(list(ledger.entries())) == 3
            assert ledger.verify() == []
    finally:
        server.stop()


def _raw(client: redis.Redis) -> bytes:
    answer = client.execute_command("CLUSTER", "INFO")
    return answer if isinstance(answer, bytes) else repr(answer).replace("': '", ":").encode()


def test_threads_race_while_the_server_is_slowed_cut_off_and_killed(server: Server) -> None:
    """At no moment more than the limit, whatever happens to the server."""
    limit = Charge(key="race", scope="global", limit=Money(300))
    seen: list[int] = []
    settled: set[str] = set()
    stop = threading.Event()

    def work(name: str) -> None:
        for number in range(150):
            one = hold(f"{name}{number}", 2, limit)
            for _ in range(200):
                try:
                    ledger.reserve(one)
                except BudgetUnavailableError:
                    time.sleep(0.02)
                    continue
                except BudgetExceededError:
                    break
                ledger.settle(one, Money(1))
                settled.add(one.id)
                break

    def poll() -> None:
        while not stop.is_set():
            with contextlib.suppress(BudgetUnavailableError):
                seen.append(sum(used(ledger, limit)))
            time.sleep(0.005)

    with opened(server, timeout_s=0.5) as ledger:
        ledger.reserve(hold("first", 0, limit))
        time.sleep(1.1)  # the ledger's own mark is on the disk
        threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
        poller = threading.Thread(target=poll)
        for thread in (*threads, poller):
            thread.start()
        time.sleep(0.1)
        with server.client() as other:
            other.execute_command("CLIENT", "PAUSE", "300", "ALL")
        for _ in range(5):  # cut off, again and again
            time.sleep(0.3)
            with server.client() as other:
                other.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        server.kill()
        time.sleep(0.1)
        server.start()
        for thread in threads:
            thread.join(60)
        stop.set()
        poller.join()
        assert max(seen) <= 300
        assert len(seen) > 10
        assert sum(used(ledger, limit)) <= 300
        assert ledger.verify() == []


def test_no_secret_of_the_address_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ConfigError) as refused:
        address_of(RedisOptions(url="redis://:hunter2@127.0.0.1:1/0"), {})
    assert "hunter2" not in str(refused.value)
    with pytest.raises(ConfigError, match="REDIS_URL"):
        address_of(RedisOptions(url_env="REDIS_URL"), {})
    with pytest.raises(ConfigError, match="url_env"):
        address_of(RedisOptions(), {})
    ledger = RedisLedger(RedisLedgerOptions(url_env="U"), env={"U": "redis://:hunter2@127.0.0.1:1/0"})
    with pytest.raises(BudgetUnavailableError) as failed:
        ledger.reserve(hold("a", 1))
    told = [str(failed.value), repr(failed.value.__cause__), repr(failed.value.__context__), caplog.text]
    assert not any("hunter2" in text for text in told)
    broken = RedisLedger(RedisLedgerOptions(url_env="U"), env={"U": "http://:hunter2@h"})
    with pytest.raises(ConfigError) as odd:
        broken.reserve(hold("a", 1))
    assert "hunter2" not in str(odd.value)


def test_shared_state_without_a_server_lets_everything_pass_and_says_so_once(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    from routekit.types import Limits

    shared = RedisShared(RedisOptions(url=server.url, timeout_s=0.5))
    assert shared.take("p", "a", 1, Limits(rpm=1)) is None
    assert shared.take("p", "b", 1, Limits(rpm=1)) is not None
    server.kill()
    with caplog.at_level(logging.WARNING, "routekit.redis"):
        for _ in range(3):
            assert shared.take("p", "c", 1, Limits(rpm=1)) is None
        shared.give_back("p", "a")
        shared.eject("p", time.time() + 5, "down")
        shared.close()
    assert caplog.text.count("left out") == 1
