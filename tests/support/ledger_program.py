"""A program beside the test that uses a store when it is told to, line by line; says "ok", a figure, or what failed."""

from __future__ import annotations

import sys
import time
import uuid
from pathlib import Path

from routekit.builtin.budgets.ledger.budget import LedgerBudget
from routekit.builtin.caches.disk.cache import DiskCache
from routekit.builtin.observers.records.store import RecordStore
from routekit.types import NO_USAGE, CacheEntry, CacheKey, CallRecord, Charge, Money, Reservation

CHARGE = Charge(key="global|total", scope="global", limit=Money(10**9))


def hold(amount: int) -> Reservation:
    return Reservation(id=str(uuid.uuid4()), charges=(CHARGE,), amount=Money(amount))


def spend(ledger: LedgerBudget, amount: int) -> None:
    one = hold(amount)
    ledger.reserve(one)
    ledger.mark_sent(one)
    ledger.settle(one, Money(amount))


def entry() -> CacheEntry:
    return CacheEntry(
        message={"role": "assistant", "content": "x"}, finish_reason="stop", usage=NO_USAGE, cost=Money(0), model="m",
        deployment="d", created_at=time.time(), expires_at=None,
    )  # fmt: skip


def record(name: str) -> CallRecord:
    return CallRecord(
        id=name, at=time.time(), outcome="ok", strategy="s", deployment="d", model="m", provider="p", cache="miss"
    )


def main(folder: Path) -> None:
    ledger = LedgerBudget(folder / "ledger.sqlite3", busy_timeout_s=5)
    records = RecordStore(folder / "decisions.sqlite3")
    cache = DiskCache(folder / "cache")
    for line in sys.stdin:
        what, _, value = line.strip().partition(" ")
        try:
            if what == "spend":
                spend(ledger, int(value))
                answer = "ok"
            elif what == "spent":
                answer = str(ledger.balance(CHARGE).spent.nanos)
            elif what == "verify":
                answer = ",".join(ledger.verify()) or "ok"
            elif what == "record":
                records.add([record(value)])
                answer = "ok"
            elif what == "recorded":
                answer = ",".join(sorted(each.id for each in records.rows()))
            elif what == "set":
                cache.set(CacheKey(namespace="n", digest=value), entry())
                answer = "ok"
            elif what == "get":
                answer = "hit" if cache.get(CacheKey(namespace="n", digest=value)) else "miss"
            elif what == "clear":
                cache.clear("n")
                answer = "ok"
            else:
                ledger.close()
                records.close()
                cache.close()
                answer = "ok"
        except Exception as error:
            answer = f"{type(error).__name__}: {error}"
        print(answer, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
