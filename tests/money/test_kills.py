"""Processes that are killed at any moment lose nothing, double nothing, and block nobody for longer than a lease."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.money.workers import arguments, charges
from tests.support.clock import Now

from routekit.builtin.budgets.ledger.budget import LedgerBudget
from routekit.types import Money, Reservation

ROOT = Path(__file__).parents[2]
STRIDE = {"settle": 1, "release": 1, "correct": 5}
"""Every statement, but where each life waits a second for its lease to end."""


def bills(file: Path) -> dict[str, int]:
    """What the upstream charged, by hold. The last line of a killed process may be cut off: it was not charged."""
    lines = file.read_text().split("\n")[:-1] if file.exists() else []
    return {name: int(amount) for name, amount in (line.split() for line in lines)}


def wait_until(there: Callable[[], bool], most_s: float = 60.0) -> None:
    by = time.monotonic() + most_s
    while not there():
        assert time.monotonic() < by, "it never came"
        time.sleep(0.02)


@pytest.mark.parametrize("kills", [24, pytest.param(1000, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])])
def test_kills_at_random_moments(tmp_path: Path, kills: int) -> None:
    file, rng = tmp_path / "ledger", random.Random(7)
    at_once, killed, number = 3, 0, 0
    running: list[subprocess.Popen[bytes]] = []
    while killed < kills:
        while len(running) < at_once:
            number += 1
            options = {"file": file, "bill": tmp_path / f"bill{number}", "name": f"w{number}", "lease_s": 2.0}
            running.append(subprocess.Popen(arguments("billed", **options), cwd=ROOT))
        if not killed:  # a busy machine takes its time to start the first ones
            wait_until(lambda: any(bills(bill) for bill in tmp_path.glob("bill*")))
        time.sleep(rng.uniform(0.3, 1.2) / at_once)
        victim = running.pop(rng.randrange(len(running)))
        assert victim.poll() is None, "a worker died by itself"
        victim.kill()
        victim.wait()
        killed += 1
    for one in running:
        one.kill()
        one.wait()
    killed += len(running)
    charged = {name: amount for bill in tmp_path.glob("bill*") for name, amount in bills(bill).items()}
    time.sleep(2.1)  # a lease later
    with closing(LedgerBudget(file)) as ledger:
        states = Counter(hold.state for hold in ledger.holds())
        assert states["reserved"] == states["sent"] == 0, "not recovered within a lease"
        assert ledger.verify() == []
        booked: Counter[str] = Counter()
        ends: Counter[str] = Counter()
        for entry in ledger.entries():
            if entry.key == "global|total":
                booked[entry.hold] += entry.spent
                ends[entry.hold] += entry.kind in ("settle", "release")
        uncertain = {hold.id: hold.amount.nanos for hold in ledger.holds() if hold.state == "uncertain"}
        assert not charged.keys() - booked.keys(), "the upstream charged for a call that the ledger does not know"
        assert all(booked[name] >= amount for name, amount in charged.items()), "less was booked than was charged"
        certain = booked.keys() - uncertain.keys()
        assert all(booked[name] == charged.get(name, 0) for name in certain), "lost or doubled"
        assert max(ends.values()) == 1
        assert len(uncertain) <= killed, "at most one call was under way in each process that was killed"
        assert set(uncertain.values()) <= {100}
        total = ledger.balance(charges(1)[0]).spent.nanos
        assert total == sum(booked.values()) >= sum(charged.values())
        for name in uncertain:
            ledger.correct(name, Money(charged.get(name, 0)))
        for charge in charges(1):
            balance = ledger.balance(charge)
            assert (balance.spent.nanos, balance.reserved.nanos) == (sum(charged.values()), 0)
        assert ledger.verify() == []


class Lives:
    """One process that has imported everything, and forks once per life: starting Python costs more than living."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            arguments("lives"), cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def send(self, **values: Any) -> int:
        """How that life ended: 0, or minus the signal."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{json.dumps(values)}\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self) -> None:
        self._process.communicate(timeout=30)


@pytest.fixture(scope="module")
def lives() -> Iterator[Lives]:
    with closing(Lives()) as running:
        yield running


@pytest.mark.parametrize("story", ["settle", "release", "correct"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_at_every_statement_of_a_reservations_life(
    tmp_path: Path, lives: Lives, story: str, after: bool
) -> None:
    died = 0
    for die_at in range(1, 400, STRIDE[story]):
        folder = tmp_path / str(die_at)
        folder.mkdir()
        file, bill = folder / "ledger", folder / "bill"
        with closing(LedgerBudget(file)) as ledger:
            before = Reservation(id="before", charges=charges(1000), amount=Money(7), lease_s=3600)
            ledger.reserve(before)
            ledger.settle(before, Money(7))
        ended = lives.send(file=str(file), bill=str(bill), story=story, die_at=die_at, after=after)
        if ended == 0:
            break
        assert ended == -signal.SIGKILL, "its error stands above"
        died += 1
        charged = bills(bill).get("life", 0)
        clock = Now()
        clock.now = time.time() + 60  # the lease is over
        with closing(LedgerBudget(file, clock=clock)) as ledger:
            states = [hold.state for hold in ledger.holds()]
            assert ledger.verify() == []
            for charge in charges(1000):
                balance = ledger.balance(charge)
                assert balance.reserved.nanos == 0
                spent = balance.spent.nanos - 7
                assert spent >= charged, f"lost: died at {die_at}, {states}"
                assert spent == (100 if states == ["uncertain"] else charged)
                assert states in ([], ["expired"], ["uncertain"])
                if states == ["expired"]:
                    assert charged == 0, "it was given back although it had been sent"
    else:
        raise AssertionError("it never survived")
    assert died * STRIDE[story] > 40
