from __future__ import annotations

import logging
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from tests.support.clock import Now

from routekit.builtin.budgets.ledger import budget as ledger
from routekit.builtin.budgets.ledger.budget import PLUGIN, LedgerBudget
from routekit.builtin.budgets.memory import MemoryBudget
from routekit.errors import BudgetExceededError, BudgetUnavailableError, ConfigError
from routekit.plugin import PluginContext
from routekit.types import Charge, Money, Reservation

ROOT = Path(__file__).parents[5]


def charge(key: str = "global|total", limit: int = 100, **changes: Any) -> Charge:
    return Charge(key=key, scope=key.partition("|")[0], limit=Money(limit), **changes)


def hold(name: str, amount: int, *charges: Charge, lease_s: float = 600.0) -> Reservation:
    return Reservation(id=name, charges=charges or (charge(),), amount=Money(amount), lease_s=lease_s)


@pytest.fixture
def budget(tmp_path: Path) -> Iterator[LedgerBudget]:
    budget = LedgerBudget(tmp_path / "home" / "ledger.sqlite3", clock=Now())
    yield budget
    budget.close()


def used(budget: LedgerBudget, key: str = "global|total") -> tuple[int, int]:
    balance = budget.balance(charge(key))
    return balance.spent.nanos, balance.reserved.nanos


def worker(file: Path, name: str, tries: int, limit: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.support.ledger_worker", str(file), name, str(tries), str(limit)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def test_it_survives_its_process(budget: LedgerBudget) -> None:
    budget.reserve(hold("a", 60))
    budget.settle(hold("a", 60), Money(42))
    budget.reserve(hold("b", 10))
    budget.close()
    with closing(LedgerBudget(budget.file)) as other:
        assert used(other) == (42, 10)


def test_the_file_is_the_owners_alone(budget: LedgerBudget) -> None:
    before = os.umask(0o000)
    try:
        budget.reserve(hold("a", 1))
    finally:
        os.umask(before)
    assert stat.S_IMODE(budget.file.parent.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in budget.file.parent.iterdir()}
    assert set(modes.values()) == {0o600}
    assert "ledger.sqlite3" in modes


def test_nothing_is_written_before_it_is_needed(tmp_path: Path) -> None:
    budget = PLUGIN.factory(PLUGIN.options(), PluginContext(home=tmp_path / "home", env={}))
    assert not (tmp_path / "home").exists()
    budget.close()


def test_entries_cannot_be_rewritten(budget: LedgerBudget) -> None:
    budget.reserve(hold("a", 1))
    with closing(sqlite3.connect(budget.file)) as database:
        for statement in ("UPDATE entries SET spent = 0", "DELETE FROM entries"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                database.execute(statement)


def test_verify_finds_a_forged_balance(budget: LedgerBudget) -> None:
    budget.reserve(hold("a", 60))
    budget.settle(hold("a", 60), Money(42))
    budget.reserve(hold("b", 7))
    assert budget.verify() == []
    with closing(sqlite3.connect(budget.file, isolation_level=None)) as database:
        database.execute("UPDATE balances SET spent = 0")
    assert budget.verify() == ["global|total"]


def test_a_lost_hold_is_written_down_as_uncertain(tmp_path: Path) -> None:
    clock = Now()
    budget = LedgerBudget(tmp_path / "ledger", clock=clock)
    budget.reserve(hold("lost", 70, lease_s=5))
    budget.mark_sent(hold("lost", 70, lease_s=5))
    budget.reserve(hold("unsent", 20, lease_s=5))
    clock.now += 5
    with pytest.raises(BudgetExceededError) as refused:
        budget.reserve(hold("b", 40))
    assert (refused.value.spent, refused.value.reserved) == (Money(70), Money(0))
    assert used(budget) == (70, 0), "the refusal took the mark back"
    with closing(sqlite3.connect(budget.file)) as database:
        assert database.execute("SELECT kind FROM entries ORDER BY seq").fetchall() == [
            ("reserve",), ("reserve",), ("uncertain",), ("expire",),
        ]  # fmt: skip
        states = database.execute("SELECT state FROM holds ORDER BY id").fetchall()
        assert states == [("uncertain",), ("expired",)]
    budget.settle(hold("lost", 70), Money(5))
    assert used(budget) == (5, 0)
    assert budget.verify() == []
    clock.now += 8 * 86_400
    budget.reserve(hold("other", 1, lease_s=0))
    assert {left.id for left in budget.holds()} == {"other"}, "what was given back is forgotten after a week"
    budget.close()


def test_the_first_layout_is_taken_over(tmp_path: Path) -> None:
    file = tmp_path / "ledger"
    with closing(sqlite3.connect(file, isolation_level=None)) as database:
        database.executescript(FIRST_LAYOUT)
    with closing(LedgerBudget(file, clock=Now())) as budget:
        assert used(budget) == (75, 20)
        assert budget.verify() == []
        assert [(left.id, left.state) for left in budget.holds()] == [("lost", "uncertain"), ("open", "sent")]
        assert [entry.kind for entry in budget.entries()] == ["reserve", "settle", "reserve", "uncertain", "reserve"]
        budget.settle(hold("open", 20), Money(3))
        budget.correct("lost", Money(1))
        assert used(budget) == (9, 0)
        with closing(sqlite3.connect(file)) as database, pytest.raises(sqlite3.IntegrityError, match="append-only"):
            database.execute("DELETE FROM entries")


FIRST_LAYOUT = """
CREATE TABLE entries (seq INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, kind TEXT NOT NULL, hold TEXT NOT NULL,
    key TEXT NOT NULL, scope TEXT NOT NULL, spent INTEGER NOT NULL, reserved INTEGER NOT NULL,
    deployment TEXT NOT NULL, request_id TEXT NOT NULL);
CREATE INDEX entries_key ON entries (key, at);
CREATE TRIGGER entries_stay BEFORE UPDATE ON entries BEGIN SELECT RAISE(ABORT, 'entries are append-only'); END;
CREATE TRIGGER entries_last BEFORE DELETE ON entries BEGIN SELECT RAISE(ABORT, 'entries are append-only'); END;
CREATE TABLE balances (key TEXT PRIMARY KEY, scope TEXT NOT NULL, spent INTEGER NOT NULL, reserved INTEGER NOT NULL)
    WITHOUT ROWID;
CREATE TABLE holds (id TEXT PRIMARY KEY, keys TEXT NOT NULL, amount INTEGER NOT NULL, expires_at REAL NOT NULL,
    state TEXT NOT NULL, deployment TEXT NOT NULL, request_id TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX holds_lease ON holds (state, expires_at);
INSERT INTO entries (at, kind, hold, key, scope, spent, reserved, deployment, request_id) VALUES
    (1, 'reserve', 'done', 'global|total', 'global', 0, 10, 'd', 'r'),
    (2, 'settle', 'done', 'global|total', 'global', 5, -10, 'd', 'r'),
    (3, 'reserve', 'lost', 'global|total', 'global', 0, 70, 'd', 'r'),
    (4, 'lost', 'lost', 'global|total', 'global', 70, -70, 'd', 'r'),
    (5, 'reserve', 'open', 'global|total', 'global', 0, 20, 'd', 'r');
INSERT INTO balances VALUES ('global|total', 'global', 75, 20);
INSERT INTO holds VALUES ('lost', '[["global|total", "global"]]', 70, 4, 'uncertain', 'd', 'r');
INSERT INTO holds VALUES ('open', '[["global|total", "global"]]', 20, 4e9, 'open', 'd', 'r');
PRAGMA user_version = 1;
"""


def test_a_locked_file_refuses_and_late_ends_are_written_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    budget = LedgerBudget(tmp_path / "ledger", busy_timeout_s=0.02)
    budget.reserve(hold("a", 60))
    budget.reserve(hold("b", 20))
    with closing(sqlite3.connect(budget.file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(BudgetUnavailableError, match="busy_timeout_s"):
            budget.reserve(hold("c", 1))
        with caplog.at_level(logging.WARNING, "routekit.ledger"):
            budget.settle(hold("a", 60), Money(50))
            budget.settle(hold("a", 60), Money(1))
            budget.release(hold("b", 20))
        assert used(budget) == (0, 80), "reading does not wait for writers"
        other.execute("ROLLBACK")
    assert "written later" in caplog.text
    budget.reserve(hold("d", 3))
    assert used(budget) == (50, 3)
    assert budget.verify() == []
    budget.close()


def test_late_ends_are_written_when_it_closes(tmp_path: Path) -> None:
    budget = LedgerBudget(tmp_path / "ledger", busy_timeout_s=0.01)
    budget.reserve(hold("a", 60))
    with closing(sqlite3.connect(budget.file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        budget.settle(hold("a", 60), Money(50))
        other.execute("ROLLBACK")
    budget.close()
    assert used(budget) == (50, 0)
    budget.close()


@pytest.mark.parametrize("damage", ["noise", "directory", "version", "truncated"])
def test_a_file_that_cannot_be_used_fails_closed(budget: LedgerBudget, damage: str) -> None:
    for number in range(200):
        budget.reserve(hold(str(number), 0))
    with closing(sqlite3.connect(budget.file)) as database:
        if damage == "version":
            database.execute("PRAGMA user_version = 99")
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    budget.close()
    if damage == "directory":
        budget.file.unlink()
        budget.file.mkdir()
    elif damage == "noise":
        budget.file.write_bytes(os.urandom(8192))
    elif damage == "truncated":
        os.truncate(budget.file, 8192)
    with pytest.raises(BudgetUnavailableError, match="cannot be used"):
        budget.reserve(hold("x", 1))
    with pytest.raises(BudgetUnavailableError):
        budget.balance(charge())


def test_a_network_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "network_filesystem", lambda path: "nfs4")
    with pytest.raises(ConfigError, match=r"ROUTEKIT_HOME.*nfs4"):
        LedgerBudget(tmp_path / "ledger")


def test_an_amount_beyond_the_file_is_refused_and_blocks_nobody(budget: LedgerBudget) -> None:
    huge = charge("huge|total", limit=2**80)
    with pytest.raises(BudgetUnavailableError):
        budget.reserve(hold("a", 2**70, huge))
    budget.reserve(hold("b", 1))
    budget.settle(hold("b", 1), Money(2**70))
    assert used(budget) == (1, 0), "an end never fails; what no column can hold is booked at what was held"
    budget.reserve(hold("c", 1))
    assert budget.verify() == []


def test_threads_share_it(tmp_path: Path) -> None:
    budget = LedgerBudget(tmp_path / "ledger", busy_timeout_s=5)
    refused: list[str] = []

    def work(name: str) -> None:
        for number in range(60):
            one = hold(f"{name}{number}", 1)
            try:
                budget.reserve(one)
                budget.settle(one, Money(1))
            except BudgetExceededError:
                refused.append(one.id)

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert used(budget) == (100, 0)
    assert len(refused) == 140
    budget.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_opens_its_own(budget: LedgerBudget) -> None:
    budget.reserve(hold("parent", 10))
    child = os.fork()
    if child == 0:
        code = 1
        try:
            budget.reserve(hold("child", 20))
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    assert used(budget) == (0, 30)


def test_processes_never_pass_one_limit(tmp_path: Path) -> None:
    file = tmp_path / "ledger"
    workers = [worker(file, name, 500, 900) for name in "abcd"]
    outputs = [one.communicate(timeout=60)[0].split() for one in workers]
    assert [one.returncode for one in workers] == [0] * 4
    assert [int(done) for done, _ in outputs] == [500] * 4
    with closing(LedgerBudget(file)) as budget:
        assert budget.verify() == []
        spent, reserved = used(budget)
        assert (spent, reserved) == (900, 0), "overshoot, or holds that nobody ended"
        assert sum(used(budget, f"user:{name}|total")[0] for name in "abcd") == 900
        with closing(sqlite3.connect(file)) as database:
            running, highest = 0, 0
            for spent, reserved in database.execute(
                "SELECT spent, reserved FROM entries WHERE key = 'global|total' ORDER BY seq"
            ):
                running += spent + reserved
                highest = max(highest, running)
            assert highest == 900, "at some moment more than the limit was taken"


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_killed_process_loses_nothing(tmp_path: Path) -> None:
    file = tmp_path / "ledger"
    reported: dict[str, int] = {}
    for round_ in range(3):
        running = [worker(file, f"{name}{round_}", 10**6, 10**9) for name in "ab"]
        for one, name in zip(running, "ab", strict=True):
            assert one.stdout is not None
            for line in one.stdout:
                reported[f"{name}{round_}"] = int(line)
                if int(line) >= 30:
                    break
        for one in running:
            one.kill()
            one.communicate()
    with closing(LedgerBudget(file, clock=Now())) as budget:
        assert budget.verify() == []
        with closing(sqlite3.connect(file)) as database:
            for name, number in reported.items():
                settled = "SELECT count(*) FROM entries WHERE key = ? AND kind = 'settle'"
                (count,) = database.execute(settled, (f"user:{name}|total",)).fetchone()
                assert count >= (number + 2) // 3, "a settlement that was acknowledged is missing"
        spent, reserved = used(budget)
        assert sum(sum(used(budget, f"user:{name}|total")) for name in reported) == spent + reserved
        assert reserved > 0


KEYS = ["a", "b", "c"]
LIMITS = {"a": 100, "b": 60, "c": 100}


class Model(RuleBasedStateMachine):
    """The ledger, the memory budget and plain arithmetic, told the same things."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Now()
        self.folder = tempfile.TemporaryDirectory()
        self.ledger = LedgerBudget(Path(self.folder.name) / "ledger", clock=self.clock)
        self.memory = MemoryBudget(clock=self.clock)
        self.spent = dict.fromkeys(KEYS, 0)
        self.open: dict[str, tuple[Reservation, float]] = {}
        self.sent: set[str] = set()
        self.lost: dict[str, Reservation] = {}
        self.expired: dict[str, Reservation] = {}
        self.made: list[Reservation] = []

    def teardown(self) -> None:
        self.ledger.close()
        self.folder.cleanup()

    def held(self, key: str) -> int:
        return sum(one.amount.nanos for one, _ in self.open.values() if key in {c.key for c in one.charges})

    @rule(
        keys=st.lists(st.sampled_from(KEYS), max_size=4),
        amount=st.integers(0, 60),
        lease_s=st.sampled_from([5.0, 50.0]),
        hard=st.booleans(),
    )
    def reserve(self, keys: list[str], amount: int, lease_s: float, hard: bool) -> None:
        charges = [charge(key, limit=LIMITS[key], hard=hard or key == "a") for key in keys]
        one = hold(f"h{len(self.made)}", amount, lease_s=lease_s)
        one = Reservation(id=one.id, charges=tuple(charges), amount=one.amount, lease_s=lease_s)
        self.made.append(one)
        for name, (held, until) in list(self.open.items()):
            if until <= self.clock.now:
                del self.open[name]
                if name not in self.sent:
                    self.expired[name] = held
                    continue
                self.lost[name] = held
                for key in {c.key for c in held.charges}:
                    self.spent[key] += held.amount.nanos
        fits = amount == 0 or all(
            self.spent[c.key] + self.held(c.key) + amount <= c.limit.nanos for c in charges if c.hard
        )
        for budget in (self.ledger, self.memory):
            if fits:
                budget.reserve(one)
            else:
                with pytest.raises(BudgetExceededError):
                    budget.reserve(one)
        if fits:
            self.open[one.id] = (one, self.clock.now + lease_s)

    @rule(pick=st.integers(0, 10**6))
    def mark_sent(self, pick: int) -> None:
        if not self.made:
            return
        one = self.made[pick % len(self.made)]
        alive = one.id in self.open and self.open[one.id][1] > self.clock.now
        for budget in (self.ledger, self.memory):
            if alive:
                budget.mark_sent(one)
            else:
                with pytest.raises(BudgetUnavailableError):
                    budget.mark_sent(one)
        if alive:
            self.sent.add(one.id)

    @rule(pick=st.integers(0, 10**6), actual=st.none() | st.integers(0, 90))
    def end(self, pick: int, actual: int | None) -> None:
        if not self.made:
            return
        one = self.made[pick % len(self.made)]
        for budget in (self.ledger, self.memory):
            if actual is None:
                budget.release(one)
            else:
                budget.settle(one, Money(actual))
        keys = {c.key for c in one.charges}
        if self.open.pop(one.id, None) or self.expired.pop(one.id, None):
            for key in keys:
                self.spent[key] += actual or 0
        elif self.lost.pop(one.id, None):
            for key in keys:
                self.spent[key] += (actual or 0) - one.amount.nanos

    @rule(seconds=st.sampled_from([1.0, 6.0, 60.0]))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule()
    def restart(self) -> None:
        self.ledger.close()

    @invariant()
    def agree(self) -> None:
        for key in KEYS:
            expected = (self.spent[key], self.held(key))
            for budget in (self.ledger, self.memory):
                balance = budget.balance(charge(key))
                assert (balance.spent.nanos, balance.reserved.nanos) == expected
        assert self.ledger.verify() == []


Model.TestCase.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
TestModel = Model.TestCase
