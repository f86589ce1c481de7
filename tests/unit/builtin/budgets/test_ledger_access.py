"""Gone and replaced files, ends that wait for nobody, poison, and looking without locking."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.support.clock import Now
from tests.support.routers import FACES

from routekit import Router
from routekit.builtin.budgets.ledger import ends as ledgerends
from routekit.builtin.budgets.ledger import transactions as book
from routekit.builtin.budgets.ledger.access import LedgerFile
from routekit.builtin.budgets.ledger.budget import FILE, LedgerBudget
from routekit.builtin.databases import shared
from routekit.errors import BudgetExceededError, BudgetUnavailableError
from routekit.testing import Reply, ScriptedProvider, plugin_module
from routekit.types import Charge, Money, Reservation, Usage

Face = Any


@pytest.fixture(params=FACES, ids=lambda face: face.name)
def face(request: pytest.FixtureRequest) -> Face:
    return request.param


def charge(key: str = "global|total", limit: int = 1000) -> Charge:
    return Charge(key=key, scope=key.partition("|")[0], limit=Money(limit))


def hold(name: str, amount: int, *charges: Charge, lease_s: float = 600.0) -> Reservation:
    return Reservation(id=name, charges=charges or (charge(),), amount=Money(amount), lease_s=lease_s)


def spend(budget: LedgerBudget, name: str, amount: int) -> None:
    budget.reserve(hold(name, amount))
    budget.mark_sent(hold(name, amount))
    budget.settle(hold(name, amount), Money(amount))


def used(budget: LedgerBudget) -> tuple[int, int]:
    balance = budget.balance(charge())
    return balance.spent.nanos, balance.reserved.nanos


def until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@contextlib.contextmanager
def locked(file: Path) -> Iterator[None]:
    """Another program writes."""
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            other.execute("ROLLBACK")


@pytest.fixture
def budget(tmp_path: Path) -> Iterator[LedgerBudget]:
    budget = LedgerBudget(tmp_path / FILE, busy_timeout_s=0.05)
    yield budget
    budget.close()


def remove(file: Path) -> None:
    for path in file.parent.glob(f"{file.name}*"):
        path.unlink()


def rename(file: Path) -> None:
    file.rename(file.with_name("elsewhere"))


def replace(file: Path) -> None:
    shutil.copy(file, file.with_name("copy"))
    file.with_name("copy").replace(file)


def remove_log(file: Path) -> None:
    file.with_name(f"{file.name}-wal").unlink()


def remove_shared_memory(file: Path) -> None:
    file.with_name(f"{file.name}-shm").unlink()


def become_a_folder(file: Path) -> None:
    remove(file)
    file.mkdir()


def begin_another(file: Path) -> None:
    remove(file)
    with closing(sqlite3.connect(file)) as other:
        other.execute("CREATE TABLE t (x)")


WAYS = (remove, rename, replace, remove_log, remove_shared_memory, become_a_folder, begin_another)


@pytest.mark.parametrize("lose", WAYS, ids=lambda lose: lose.__name__)
def test_a_ledger_that_is_gone_or_replaced_refuses_before_money_is_spent(
    budget: LedgerBudget, lose: Callable[[Path], None]
) -> None:
    spend(budget, "a", 400)
    budget.reserve(hold("b", 10))
    lose(budget.file)
    for _ in range(2):
        with pytest.raises(BudgetUnavailableError, match=r"while it was in use.*(put it back|start this program)"):
            budget.reserve(hold("c", 1))
    with pytest.raises(BudgetUnavailableError):
        budget.mark_sent(hold("b", 10))
    with pytest.raises(BudgetUnavailableError):
        budget.balance(charge())
    with pytest.raises(BudgetUnavailableError):
        budget.verify()
    budget.settle(hold("b", 10), Money(10))  # an end never fails


def test_a_file_that_is_put_back_is_used_again(budget: LedgerBudget) -> None:
    spend(budget, "a", 400)
    home, away = budget.file.parent, budget.file.parent.parent / "away"
    home.rename(away)
    with pytest.raises(BudgetUnavailableError):
        budget.reserve(hold("b", 1))
    away.rename(home)
    budget.reserve(hold("b", 1))
    assert used(budget) == (400, 1)


@pytest.mark.skipif(os.name != "posix", reason="links")
def test_a_link_that_leads_elsewhere_by_now_is_noticed(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    link = tmp_path / "home"
    link.symlink_to(tmp_path / "one")
    with closing(LedgerBudget(link / FILE)) as budget:
        spend(budget, "a", 1)
        link.unlink()
        link.symlink_to(tmp_path / "two")
        with closing(LedgerBudget(link / FILE)) as fresh:
            with pytest.raises(BudgetUnavailableError, match="replaced"):
                budget.reserve(hold("b", 1))
            spend(fresh, "c", 5)
            with pytest.raises(BudgetUnavailableError, match="replaced"):
                budget.reserve(hold("d", 1))
            assert used(fresh) == (5, 0)


def test_an_older_copy_written_over_the_file_is_noticed(budget: LedgerBudget) -> None:
    spend(budget, "a", 100)
    budget.close()
    old = budget.file.read_bytes()
    for number in range(5):
        spend(budget, f"b{number}", 100)
    with closing(sqlite3.connect(budget.file)) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with budget.file.open("r+b") as file:  # the same file, as `cp` writes it
        file.truncate(0)
        file.write(old)
    with pytest.raises(BudgetUnavailableError):
        spend(budget, "c", 100)


def test_a_new_ledger_object_begins_with_what_is_there_and_the_old_one_goes_on_refusing(budget: LedgerBudget) -> None:
    spend(budget, "a", 400)
    remove(budget.file)
    with closing(LedgerBudget(budget.file)) as fresh:
        spend(fresh, "b", 5)
        assert used(fresh) == (5, 0)
        with pytest.raises(BudgetUnavailableError, match="while it was in use"):
            budget.reserve(hold("c", 1))
        assert used(fresh) == (5, 0)
        assert fresh.verify() == []


def router_at(home: Path, *script: Any, **budget: Any) -> Router:
    table = {"name": "a", "provider": "scripted", "model": "m", "price": {"input": 1, "output": 1}}
    return Router(
        {"deployments": [table], "budgets": [{"scope": "global", "limit_usd": 1, **budget}]},
        plugins=[plugin_module(ScriptedProvider())],
        providers={"a": ScriptedProvider(*script, Reply("ok", usage=Usage(input_tokens=1, output_tokens=1)))},
        env={"ROUTEKIT_PLUGINS": "", "ROUTEKIT_HOME": str(home)},
    )


@pytest.mark.parametrize("streamed", [False, True])
def test_a_router_asks_nobody_once_its_ledger_is_gone(face: Face, tmp_path: Path, streamed: bool) -> None:
    ask = face.stream if streamed else face.complete
    with router_at(tmp_path) as router:
        ask(router, "hi")
        remove(tmp_path / FILE)
        provider = router._deployments._given["a"] if hasattr(router, "_deployments") else None
        before = len(provider.calls) if provider is not None else 0  # type: ignore[attr-defined]
        with pytest.raises(BudgetUnavailableError):
            ask(router, "hi")
        assert provider is None or len(provider.calls) == before  # type: ignore[attr-defined]


POISON: dict[str, Exception] = {
    "overflow": OverflowError("too large"), "type": TypeError("?"), "constraint": sqlite3.IntegrityError("CHECK"),
    "text": UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates"), "interface": sqlite3.InterfaceError("?"),
}  # fmt: skip


@pytest.mark.parametrize("kind", POISON)
@pytest.mark.parametrize("late", [False, True])
def test_an_end_that_cannot_be_written_blocks_nobody_and_is_booked_at_its_hold(
    budget: LedgerBudget, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, kind: str, late: bool
) -> None:
    end = book.end

    def failing(database: sqlite3.Connection, reservation: Reservation, actual: int | None, now: float) -> None:
        end(database, reservation, actual, now)  # half of it is done
        if reservation.id == "poison" and actual == 7:
            raise POISON[kind]

    monkeypatch.setattr(ledgerends.book, "end", failing)
    for name in ("before", "poison", "after"):
        budget.reserve(hold(name, 50))
    with locked(budget.file) if late else contextlib.nullcontext(), caplog.at_level(logging.ERROR):
        for name in ("before", "poison", "after"):
            budget.settle(hold(name, 50), Money(7))
    until(lambda: used(budget) == (64, 0))
    assert "poison" in caplog.text or late
    spend(budget, "next", 1)
    assert used(budget) == (65, 0)
    assert budget.verify() == []


@pytest.mark.parametrize("bill", [2**63, 2**70, 10**30])
@pytest.mark.parametrize("late", [False, True])
def test_a_bill_that_no_column_holds_is_booked_at_its_hold(budget: LedgerBudget, bill: int, late: bool) -> None:
    budget.reserve(hold("a", 50))
    with locked(budget.file) if late else contextlib.nullcontext():
        budget.settle(hold("a", 50), Money(bill))
    until(lambda: used(budget) == (50, 0))
    spend(budget, "b", 1)


def test_sums_that_no_column_holds_block_nobody(budget: LedgerBudget) -> None:
    endless = charge("endless|total", limit=2**80)
    for name in ("a", "b", "c"):
        budget.reserve(hold(name, 1, endless))
    for name in ("a", "b"):
        budget.settle(hold(name, 1, endless), Money(2**63 - 2))
    budget.settle(hold("c", 1, endless), Money(1))
    spend(budget, "d", 5)
    assert used(budget) == (5, 0)
    assert budget.verify() == []


def test_a_name_that_is_no_unicode_is_refused_and_blocks_nobody(budget: LedgerBudget) -> None:
    odd = charge("user:\ud800|total")
    with pytest.raises(BudgetUnavailableError, match="Unicode") as refused:
        budget.reserve(hold("a", 1, odd))
    str(refused.value).encode()
    budget.release(hold("a", 1, odd))
    budget.settle(hold("\ud800", 1), Money(1))
    spend(budget, "b", 1)
    assert used(budget) == (1, 0)


@pytest.mark.parametrize("keys", ["nonsense", "[1]", "{}", "", '[["a"]]', "null"])
def test_a_damaged_hold_is_shown_and_blocks_nobody(tmp_path: Path, keys: str) -> None:
    clock = Now()
    with closing(LedgerBudget(tmp_path / FILE, clock=clock)) as budget:
        budget.reserve(hold("a", 5, lease_s=1))
        budget.reserve(hold("b", 5, lease_s=1))
        with closing(sqlite3.connect(budget.file, isolation_level=None)) as other:
            other.execute("UPDATE holds SET keys = ? WHERE id = 'a'", (keys,))
        clock.now += 10
        spend(budget, "c", 1)
        budget.settle(hold("a", 5), Money(3))
        spend(budget, "d", 1)
        states = {found.id: found.state for found in budget.holds()}
        assert states.get("b") == "expired"
        assert states.get("a", "damaged") == "damaged"
        assert budget.balance(charge()).spent == Money(2)


def test_ends_on_an_event_loop_wait_for_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    budget = LedgerBudget(tmp_path / FILE, busy_timeout_s=5)
    names = [str(number) for number in range(200)]
    for name in names:
        budget.reserve(hold(name, 1))
    slept_on: list[int] = []
    sleep = time.sleep

    def watched(seconds: float) -> None:
        slept_on.append(threading.get_ident())
        sleep(seconds)

    monkeypatch.setattr(time, "sleep", watched)

    async def end() -> None:
        for name in names:
            budget.settle(hold(name, 1), Money(1))
            budget.glance(charge())

    with locked(budget.file):
        asyncio.run(end())
    assert threading.get_ident() not in slept_on
    until(lambda: used(budget) == (200, 0))
    assert budget.verify() == []
    budget.close()


def test_an_end_does_not_wait_for_a_thread_that_has_the_ledger(budget: LedgerBudget) -> None:
    budget.reserve(hold("a", 5))
    file = shared(LedgerFile, budget.file, budget)
    with file.taken(1):
        budget.settle(hold("a", 5), Money(2))

        async def look() -> Any:
            return budget.glance(charge())

        assert asyncio.run(look()) is None
        assert len(file.ends) == 1
    assert used(budget) == (2, 0)


def test_whoever_gives_the_ledger_back_writes_what_was_told_meanwhile(budget: LedgerBudget) -> None:
    budget.reserve(hold("a", 5))
    file = shared(LedgerFile, budget.file, budget)
    with budget._transaction():
        thread = threading.Thread(target=budget.settle, args=(hold("a", 5), Money(2)))
        thread.start()
        thread.join()
        assert len(file.ends) == 1
    assert not file.ends
    assert used(budget) == (2, 0)


def test_synchronous_full_is_for_all_and_ends_on_a_loop_are_flushed_elsewhere(tmp_path: Path) -> None:
    with (
        closing(LedgerBudget(tmp_path / FILE)) as plain,
        closing(LedgerBudget(tmp_path / FILE, synchronous="full")) as full,
    ):
        plain.reserve(hold("a", 5))
        full.reserve(hold("b", 5))
        file = shared(LedgerFile, plain.file, plain)
        with file.taken(1):
            assert file.opened().execute("PRAGMA synchronous").fetchone() == (2,)

        async def end() -> None:
            full.settle(hold("b", 5), Money(1))

        asyncio.run(end())
        until(lambda: used(plain) == (1, 5))


def test_looking_locks_nothing(tmp_path: Path) -> None:
    with closing(LedgerBudget(tmp_path / FILE, busy_timeout_s=0.05)) as budget:
        budget.reserve(hold("a", 5))
        with locked(budget.file):
            assert budget.verify() == []
            assert [found.id for found in budget.holds()] == ["a"]
            assert len(list(budget.balances())) == len(list(budget.entries())) == 1


def test_calls_go_on_while_somebody_reads_the_whole_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    faults, inside, go_on = book.faults, threading.Event(), threading.Event()

    def slow(database: sqlite3.Connection) -> list[str]:
        database.execute("SELECT count(*) FROM entries").fetchone()  # the snapshot is of this moment
        inside.set()
        assert go_on.wait(20)
        return faults(database)

    monkeypatch.setattr(book, "faults", slow)
    with (
        closing(LedgerBudget(tmp_path / FILE, busy_timeout_s=0.05)) as budget,
        closing(LedgerBudget(tmp_path / FILE)) as looking,
    ):
        budget.reserve(hold("a", 5))
        found: list[Any] = []
        thread = threading.Thread(target=lambda: found.append(looking.verify()))
        thread.start()
        assert inside.wait(20)
        for number in range(20):
            spend(budget, f"b{number}", 1)
        go_on.set()
        thread.join()
        assert found == [[]]


def test_threads_of_one_process_never_refuse_each_other_shortly(tmp_path: Path) -> None:
    """A short wait for other programs must not be used up by this one's own threads."""
    budgets = [LedgerBudget(tmp_path / FILE, busy_timeout_s=5) for _ in range(4)]
    wrong: list[BaseException] = []

    def work(place: int) -> None:
        try:
            for number in range(50):
                spend(budgets[place % 4], f"{place}-{number}", 1)
        except BudgetExceededError:
            pass
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(place,)) for place in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert used(budgets[0]) == (400, 0)
    assert budgets[0].verify() == []
    for budget in budgets:
        budget.close()


@pytest.mark.skipif(os.name != "posix", reason="POSIX")
def test_somebody_who_closes_the_file_in_this_process_is_noticed_when_that_does_harm(budget: LedgerBudget) -> None:
    """`open(ledger).close()` in the same process drops SQLite's locks: then others may fold the log away."""
    spend(budget, "a", 1)
    budget.file.read_bytes()
    import subprocess
    import sys

    code = """if True:
        import sqlite3, sys
        other = sqlite3.connect(sys.argv[1])
        other.execute("SELECT * FROM entries").fetchall()
        other.close()
    """
    subprocess.run([sys.executable, "-c", code, str(budget.file)], check=True)
    if budget.file.with_name(f"{FILE}-wal").exists():
        spend(budget, "b", 1)
        assert used(budget) == (2, 0)
    else:
        with pytest.raises(BudgetUnavailableError, match="write-ahead log"):
            spend(budget, "b", 1)
