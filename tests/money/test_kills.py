"""Processes that are killed at any moment lose nothing, double nothing, and block nobody for longer than a lease."""

from __future__ import annotations

import random
import subprocess
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
from tests.money.workers import arguments, charges
from tests.support.clock import Now

from routekit.builtin.budgets.ledger import LedgerBudget
from routekit.types import Money, Reservation

ROOT = Path(__file__).parents[2]
STRIDE = {"settle": 1, "release": 3, "correct": 5}
"""Every statement of the usual life; the others share most of it."""


def bills(file: Path) -> dict[str, int]:
    """What the upstream charged, by hold. The last line of a killed process may be cut off: it was not charged."""
    lines = file.read_text().split("\n")[:-1] if file.exists() else []
    return {name: int(amount) for name, amount in (line.split() for line in lines)}


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


@pytest.mark.parametrize("story", ["settle", "release", "correct"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_at_every_statement_of_a_reservations_life(tmp_path: Path, story: str, after: bool) -> None:
    died = 0
    for die_at in range(1, 400, STRIDE[story]):
        folder = tmp_path / str(die_at)
        folder.mkdir()
        file, bill = folder / "ledger", folder / "bill"
        with closing(LedgerBudget(file)) as ledger:
            before = Reservation(id="before", charges=charges(1000), amount=Money(7), lease_s=3600)
            ledger.reserve(before)
            ledger.settle(before, Money(7))
        options = {"file": file, "bill": bill, "story": story, "die_at": die_at, "after": after}
        done = subprocess.run(
            arguments("life", **options), cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
        )
        if "survived" in done.stdout:
            break
        assert done.returncode == -9, done.stderr
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
