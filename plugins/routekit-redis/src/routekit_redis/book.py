"""What is read from the ledger, in pages: no script keeps the server for longer than a moment."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar, cast

from routekit.errors import InvalidInputError
from routekit.plugin import Ledger
from routekit.types import Balance, EntryKind, Hold, HoldState, LedgerEntry, Money
from routekit_redis import scripts
from routekit_redis.adopting import adopt
from routekit_redis.link import Link, texts
from routekit_redis.windows import ends_at

PAGE = 1000
NAMES = 250
"""Balances or holds that one script reads: about a quarter of a millisecond."""

LOOKS = 3
T = TypeVar("T")
Row = tuple[str, str, int, int, int, int]


class Book(Ledger):
    """The reading half of the ledger, and what an operator does with it."""

    _link: Link

    def balances(self) -> Iterator[tuple[str, str, Balance]]:
        self.lapse()
        for key, scope, spent, reserved, _, _ in sorted(row for row, _ in self._rows()):
            yield key, scope, Balance(spent=Money(spent), reserved=Money(reserved))

    def entries(self, after: int = 0) -> Iterator[LedgerEntry]:
        while True:
            page = self._page(after)
            yield from page
            if len(page) < PAGE:
                return
            after = page[-1].seq

    def holds(self) -> list[Hold]:
        self.lapse()
        found = [
            Hold(
                id=id_, state=cast(HoldState, state), amount=Money(int(amount)),
                keys=tuple((pair[0], pair[1]) for pair in json.loads(keys)), expires_at=float(expires_at),
                deployment=deployment, request_id=request_id,
            )
            for id_, state, amount, keys, expires_at, deployment, request_id in self._looked(self._scanned("holds"))
        ]  # fmt: skip
        return sorted(found, key=lambda hold: (hold.expires_at, hold.id))

    def correct(self, hold_id: str, actual: Money) -> None:
        from routekit_redis.ledger import _amount, _tag

        self.lapse()
        amount = _amount(actual)
        for _, _, _, keys, _, _, _ in self._looked([hold_id]):
            names = [*_WRITTEN, f"h:{hold_id}", *(f"b:{pair[0]}" for pair in json.loads(keys))]
            if self._link.run(scripts.CORRECT, names, hold_id, _tag(hold_id), amount)[0] == "ok":
                return
        raise InvalidInputError(f"there is no uncertain hold {hold_id!r}; `routekit ledger holds` lists them")

    def verify(self) -> list[str]:
        """Each balance as of the moment when it was read; what others change meanwhile is looked at again."""
        wrong, pairs = self._compared()
        for _ in range(LOOKS - 1):
            if not wrong and not pairs:
                break
            again, still = self._compared()
            wrong, pairs = wrong & again, pairs & still
        return sorted(wrong | {key for _, key in pairs})

    def archive(self, before: float, write: Callable[[Sequence[LedgerEntry]], None]) -> int:
        """Entries older than `before` become parts of their balances' openings; those of open holds stay."""
        after = folded = 0
        while page := self._page(after):
            after = page[-1].seq
            old = [entry for entry in page if entry.at < before]
            opened = {row[0] for row in self._looked({entry.hold for entry in old})}
            old = [entry for entry in old if entry.hold not in opened]
            if old:
                write(old)
                for part in _batches(old, NAMES):
                    names = ["entries", *{f"b:{entry.key}": None for entry in part}]
                    rows = [text for one in part for text in (one.seq, one.key, one.spent, one.reserved)]
                    self._link.run(scripts.FOLD, names, *rows)
                folded += len(old)
            if page[-1].at >= before:
                break
        self._tidy()
        return folded

    def adopt(self) -> list[str]:
        """Goes on with what the server has; balances that are missing are added up from the entries."""
        return adopt(self._link)

    def lapse(self) -> None:
        """Ends holds whose lease is over."""
        while True:
            due = self._link.run(scripts.DUE, ["leases", "holds"])[3]
            if not due:
                return
            keys = {row[0]: json.loads(row[3]) for row in self._looked(due)}
            names = [*_WRITTEN, *(f"h:{hold_id}" for hold_id in due)]
            names += {f"b:{pair[0]}": None for pairs in keys.values() for pair in pairs}
            before = len(due)
            self._link.run(scripts.LAPSE, names, *due)
            if before < 100:
                return
            if due == self._link.run(scripts.DUE, ["leases", "holds"])[3]:
                return  # their balances are missing

    def _compared(self) -> tuple[set[str], set[tuple[str, str]]]:
        """Keys whose balance is not the sum of its entries, and holds that are not what their entries say."""
        rows = {row[0]: (row, seq) for row, seq in self._rows()}
        opened = {
            (row[0], pair[0]): int(row[2])
            for row in self._looked(self._scanned("leases"))
            if row[1] in ("reserved", "sent")
            for pair in json.loads(row[3])
            if len(pair) < 4 or not pair[3]
        }
        summed: dict[str, tuple[int, int]] = {}
        left: dict[tuple[str, str], int] = {}
        for entry in self.entries():
            pair = (entry.hold, entry.key)
            left[pair] = left.get(pair, 0) + entry.reserved
            if not left[pair]:
                del left[pair]
            if entry.key in rows and entry.seq > rows[entry.key][1]:
                continue
            spent, reserved = summed.get(entry.key, (0, 0))
            summed[entry.key] = spent + entry.spent, reserved + entry.reserved
        wrong = set()
        for key, (row, _) in rows.items():
            spent, reserved = summed.pop(key, (0, 0))
            if (row[2] - row[4], row[3] - row[5]) != (spent, reserved):
                wrong.add(key)
        now = time.time()
        wrong |= {key for key in summed if not 0 < ends_at(key) < now}
        held = {pair: amount for pair, amount in opened.items() if amount}
        return wrong, {pair for pair in left.keys() | held.keys() if left.get(pair) != held.get(pair)}

    def _rows(self) -> Iterator[tuple[Row, int]]:
        """Key, scope, spent, reserved and the openings of each balance, with the number of the last entry then."""
        for names in _batches(self._scanned("keys"), NAMES):
            answer = self._link.run(scripts.PAGE, [f"b:{name}" for name in names], *names)
            for key, scope, *amounts in answer[3]:
                spent, reserved, *opening = map(int, amounts)
                yield (key, scope, spent, reserved, opening[0], opening[1]), int(answer[2])

    def _looked(self, ids: Iterable[str]) -> Iterator[list[str]]:
        """id, state, amount, keys as JSON, end of lease, deployment, request of those holds that there are."""
        for part in _batches(ids, NAMES):
            yield from self._link.run(scripts.LOOK, [f"h:{hold_id}" for hold_id in part], *part)[3]

    def _scanned(self, name: str) -> Iterator[str]:
        """The members of a set, or of a sorted set, each once."""
        client, key = self._link.client, f"{self._link.prefix}:{name}"
        seen: set[str] = set()
        cursor = None
        while cursor != 0:
            with self._link.border():
                scan = client.sscan if name == "keys" else client.zscan
                cursor, page = scan(key, cursor or 0, count=PAGE // 2)
            for raw in page:
                member = texts(raw if isinstance(raw, bytes) else raw[0])
                if member not in seen:
                    seen.add(member)
                    yield member

    def _page(self, after: int) -> list[LedgerEntry]:
        client = self._link.client
        with self._link.border():
            rows = client.xrange(f"{self._link.prefix}:entries", min=f"({after}-1", count=PAGE)
        return [_entry(name, raw) for name, raw in rows]

    def _tidy(self) -> None:
        """Balances that have lapsed are no longer missed."""
        ended = ((name, ends_at(name)) for name in self._scanned("keys"))
        for part in _batches((pair for pair in ended if pair[1]), NAMES):
            names = ["keys", *(f"b:{name}" for name, _ in part)]
            self._link.run(scripts.TIDY, names, *(text for pair in part for text in pair))


_WRITTEN = ("keys", "entries", "leases", "holds", "ended:0", "ended:1")


def _entry(name: bytes, raw: dict[bytes, bytes]) -> LedgerEntry:
    fields: dict[str, Any] = {key.decode(): value.decode("utf-8", "replace") for key, value in raw.items()}
    return LedgerEntry(
        seq=int(name.partition(b"-")[0]), at=float(fields["at"]), kind=cast(EntryKind, fields["kind"]),
        hold=fields["hold"], key=fields["key"], scope=fields["scope"], spent=int(fields["spent"]),
        reserved=int(fields["reserved"]), deployment=fields["dep"], request_id=fields["req"],
    )  # fmt: skip


def _batches(items: Iterable[T], most: int) -> Iterator[list[T]]:
    batch: list[T] = []
    for item in items:
        batch.append(item)
        if len(batch) == most:
            yield batch
            batch = []
    if batch:
        yield batch
