"""The ledger on Redis: the contract of `routekit.plugin.Ledger`, each step one script."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from routekit.errors import BudgetExceededError, BudgetUnavailableError
from routekit.plugin import reset_after_fork
from routekit.plugin.offload import in_event_loop
from routekit.types import Balance, Charge, Money, Reservation
from routekit_redis import scripts
from routekit_redis.book import Book
from routekit_redis.link import Link
from routekit_redis.options import RedisLedgerOptions
from routekit_redis.windows import ends_at
from routekit_redis.writer import PARKED_S, End, Writer

MOST = 2**62
"""Amounts and limits above it do not fit into what Redis adds exactly."""

THREADS = 8
"""Calls of event loops that wait for the server at once; more stand in line."""

GLANCES_MOST = 10_000
FRESH_S = 1.0

_log = logging.getLogger("routekit.redis")


class RedisLedger(Book):
    """Balances, holds and entries of several machines, on one server or one slot of a cluster.

    All charges of a reservation are taken by one script, or none is. The server's clock decides about
    leases. Every failure refuses (fails closed); so does a server that has lost its data or a part of it, until an
    operator decides (`adopt`). Ends go to one writer, which keeps those that do not get through; until
    then their holds count.
    """

    def __init__(
        self,
        options: RedisLedgerOptions | None = None,
        *,
        env: Mapping[str, str] | None = None,
        home: Path | None = None,
    ) -> None:
        self.options = options or RedisLedgerOptions()
        self._link = Link(self.options, env or {}, home)
        self._writer = Writer(self._write, self._duty)
        self._taken: set[str] = set()
        self._seen: dict[str, tuple[int, int]] = {}
        self._wanted: dict[str, Charge] = {}
        self._wanted_at = 0.0
        self._lapsed_at = time.monotonic()
        self._threads: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Ends that wait are the parent's, which sends them itself."""
        self._writer.after_fork()
        self._lock, self._threads, self._taken = threading.Lock(), None, set()
        self._link.after_fork()

    @property
    def _late(self) -> dict[str, End]:
        return self._writer.late

    def reserve(self, reservation: Reservation) -> None:
        self._reserve(reservation, sent=False)

    def begin(self, reservation: Reservation) -> None:
        """`reserve` and `mark_sent` in one round trip."""
        self._reserve(reservation, sent=True)

    async def abegin(self, reservation: Reservation) -> None:
        await self._awaited(self.begin, reservation)

    async def areserve(self, reservation: Reservation) -> None:
        await self._awaited(self.reserve, reservation)

    async def amark_sent(self, reservation: Reservation) -> None:
        await self._in_thread(lambda: self.mark_sent(reservation))

    async def arenew(self, reservation: Reservation) -> None:
        await self._in_thread(lambda: self.renew(reservation))

    def mark_sent(self, reservation: Reservation) -> None:
        if self._link.run(scripts.MARK_SENT, [f"h:{reservation.id}"], reservation.id)[0] != "ok":
            raise BudgetUnavailableError(
                f"the hold {reservation.id} ran out before its call was sent (its lease is {reservation.lease_s:g} s)"
            )

    def settle(self, reservation: Reservation, actual: Money) -> None:
        if actual.nanos > MOST:
            _log.error(
                "the bill of hold %s is more than a Redis ledger can hold; what was held is booked", reservation.id
            )
            actual = reservation.amount
        self._end(reservation, str(actual.nanos), "settle")

    def release(self, reservation: Reservation) -> None:
        self._end(reservation, "0", "release")

    def mark_uncertain(self, reservation: Reservation) -> None:
        self._end(reservation, str(reservation.amount.nanos), "uncertain")

    def renew(self, reservation: Reservation) -> None:
        with contextlib.suppress(BudgetUnavailableError):
            names = ["leases", "holds", f"h:{reservation.id}"]
            self._link.run(scripts.RENEW, names, reservation.id, reservation.lease_s)

    def glance(self, charge: Charge) -> Balance | None:
        """What the last end has seen, which brings it back; without one, None on an event loop."""
        seen = self._glanced(charge)
        return seen if seen is not None or in_event_loop() else self.balance(charge)

    def remaining(self, charge: Charge) -> Money:
        """On an event loop: by what was seen last, and without that the limit. `reserve` decides."""
        if not in_event_loop():
            return super().remaining(charge)
        if len(self._wanted) < GLANCES_MOST:
            self._wanted[charge.key] = charge
        if time.monotonic() - self._wanted_at > FRESH_S:
            self._writer.call()
        seen = self._glanced(charge)
        return charge.limit if seen is None else charge.limit.less(seen.used)

    def balance(self, charge: Charge) -> Balance:
        arguments = [text for key in charge.keys for text in (key, ends_at(key))]
        answer = self._link.run(scripts.BALANCE, ["keys", *(f"b:{key}" for key in charge.keys)], *arguments)
        return Balance(spent=Money(int(answer[3])), reserved=Money(int(answer[4])))

    def close(self) -> None:
        self._writer.close(2 * self.options.timeout_s)
        with self._lock:
            threads, self._threads = self._threads, None
        if threads is not None:
            threads.shutdown(wait=False)
        self._link.close()

    def _reserve(self, reservation: Reservation, *, sent: bool) -> None:
        amount = _amount(reservation.amount)
        charged = _charged(reservation)
        names = [*_ALL, f"h:{reservation.id}"]
        arguments = [
            reservation.id, _tag(reservation.id), amount, reservation.lease_s, reservation.deployment,
            reservation.request_id, int(sent), charged,
        ]  # fmt: skip
        balances = dict.fromkeys(charge.key for charge in reservation.charges)
        for place, charge in enumerate(reservation.charges):
            hard = charge.hard and amount != "0"
            limit = str(min(charge.limit.nanos, 2 * MOST - 1))
            arguments += [place, limit, int(hard), len(charge.keys) if hard else 0]
            if hard:
                balances |= dict.fromkeys(charge.keys)
                arguments += [text for key in charge.keys for text in (key, ends_at(key))]
        names += [f"b:{key}" for key in balances]
        answer = self._link.run(scripts.RESERVE, names, *arguments, wait=self.options.wait_replicas)
        if answer[0] == "due":
            self.lapse()
            answer = self._link.run(scripts.RESERVE, names, *arguments, wait=self.options.wait_replicas)
        if answer[0] in ("refused", "due") and self._writer.flushed(self.options.timeout_s):
            answer = self._link.run(scripts.RESERVE, names, *arguments, wait=self.options.wait_replicas)
        if answer[0] in ("refused", "due") and len(answer) > 5:
            charge = reservation.charges[int(answer[3])]
            raise BudgetExceededError(
                scope=charge.scope, limit=charge.limit, spent=Money(int(answer[4])), reserved=Money(int(answer[5])),
                asked=reservation.amount, resets_at=charge.resets_at,
            )  # fmt: skip
        if answer[0] != "ok":
            state = answer[3] if answer[0] == "lost" else "over"
            raise BudgetUnavailableError(f"the hold {reservation.id} is {state}; take another one under a new id")
        self._taken.add(reservation.id)
        if self._writer.failing or self._link.watch.due:
            self._writer.call()

    def _end(self, reservation: Reservation, actual: str, kind: str) -> None:
        """Clean-up code calls this and has an answer in its hands. Until the end is written the hold counts."""
        taken = reservation.id in self._taken
        self._taken.discard(reservation.id)
        self._writer.put(End(reservation, actual, kind, taken), waits=not in_event_loop())

    def _write(self, ends: list[End]) -> Iterable[End]:
        """Writes them with one script. A poisoned one stops no other.

        Raises:
            BudgetUnavailableError: the server failed, and all of them are sent again.
        """
        answer = self._ended(ends, {})
        elsewhere = {hold_id: json.loads(keys) for hold_id, keys in answer[4]}
        if elsewhere:  # their holds are charged to other balances than their ends name
            more = self._ended([end for end in ends if end.reservation.id in elsewhere], elsewhere)
            answer = [*answer[:3], answer[3] + more[3], [], answer[5] + more[5], answer[6] + more[6]]
        stuck = dict(answer[5])
        for hold_id in answer[3]:
            _log.error("hold %s cannot be ended: it is damaged there; `routekit ledger holds` shows it", hold_id)
        for end in ends:
            if end.reservation.id in stuck:
                if not end.not_before:
                    _log.error(
                        "hold %s is ended later: the balance %s is missing on the Redis server; restore it, or run "
                        "`routekit ledger adopt`", end.reservation.id, stuck[end.reservation.id],
                    )  # fmt: skip
                end.not_before = time.monotonic() + PARKED_S
        return [end for end in ends if end.reservation.id not in stuck]

    def _ended(self, ends: list[End], elsewhere: Mapping[str, list[list[Any]]]) -> Any:
        names = dict.fromkeys(_ALL)
        watched: dict[str, None] = {}
        arguments: list[Any] = []
        for end in ends:
            one = end.reservation
            names[f"h:{one.id}"] = None
            names |= dict.fromkeys(f"b:{charge.key}" for charge in one.charges)
            names |= dict.fromkeys(f"b:{pair[0]}" for pair in elsewhere.get(one.id, ()))
            watched |= dict.fromkeys(key for charge in one.charges if charge.warn_at for key in charge.keys)
            amount = str(min(one.amount.nanos, MOST))
            arguments += [one.id, _tag(one.id), end.actual, end.kind, int(end.taken), amount]
            arguments += [one.deployment, one.request_id, _charged(one)]
        names |= dict.fromkeys(f"b:{key}" for key in watched)
        answer = self._link.run(scripts.END, list(names), json.dumps([*watched], ensure_ascii=False), *arguments)
        if len(self._seen) > GLANCES_MOST:
            self._seen.clear()
        self._seen |= {key: (int(spent), int(reserved)) for key, spent, reserved in answer[6]}
        return answer

    def _duty(self) -> None:
        """What the writer does besides: looks at the server every minute, ends leases that are over, reads balances."""
        if self._link.watch.due:
            self._link.look()
            self._link.remember()
        if time.monotonic() - self._lapsed_at > self._link.LAPSE_S:
            self._lapsed_at = time.monotonic()
            self.lapse()
        wanted, self._wanted = self._wanted, {}
        if wanted:
            self._wanted_at = time.monotonic()
        for charge in wanted.values():
            for key in charge.keys:
                one = self.balance(Charge(key=key, scope=charge.scope, limit=charge.limit))
                self._seen[key] = one.spent.nanos, one.reserved.nanos

    def _glanced(self, charge: Charge) -> Balance | None:
        found = [self._seen.get(key) for key in charge.keys]
        if any(one is None for one in found):
            return None
        spent, reserved = (sum(one[place] for one in found if one is not None) for place in (0, 1))
        return Balance(spent=Money(spent), reserved=Money(reserved))

    async def _awaited(self, take: Callable[[Reservation], None], reservation: Reservation) -> None:
        """Where it is cancelled no hold is left, even one that a thread takes afterwards."""
        lock, taken, left = threading.Lock(), False, False

        def work() -> None:
            nonlocal taken
            take(reservation)
            with lock:
                taken = True
                unwanted = left
            if unwanted:
                self.release(reservation)

        try:
            await self._in_thread(work)
        except BaseException:
            with lock:
                left, unwanted = True, taken
            if unwanted:
                self.release(reservation)
            raise

    async def _in_thread(self, work: Callable[[], None]) -> None:
        """On threads of its own: those of the loop are few, and others wait for them."""
        with self._lock:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="routekit-redis")
            threads = self._threads
        await asyncio.get_running_loop().run_in_executor(threads, work)


_ALL = ("keys", "entries", "leases", "holds", "ended:0", "ended:1")


def _charged(reservation: Reservation) -> str:
    scopes = {charge.key: charge.scope for charge in reservation.charges}
    return json.dumps([[key, scope, ends_at(key)] for key, scope in scopes.items()], ensure_ascii=False)


def _tag(hold_id: str) -> bytes:
    """What is remembered of a hold that has ended: eight bytes."""
    return hashlib.sha256(hold_id.encode("utf-8", "surrogatepass")).digest()[:8]


def _amount(money: Money) -> str:
    if money.nanos > MOST:
        raise BudgetUnavailableError(f"{money} is more than the Redis ledger can hold; nothing was changed")
    return str(money.nanos)
