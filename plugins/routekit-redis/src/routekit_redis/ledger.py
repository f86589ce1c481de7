"""The ledger on Redis: the contract of `routekit.plugin.Ledger`, each step one script."""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import redis

from routekit.errors import BudgetExceededError, BudgetUnavailableError, InvalidInputError
from routekit.plugin import Ledger, reset_after_fork
from routekit.plugin.offload import in_event_loop
from routekit.types import Balance, Charge, EntryKind, Hold, HoldState, LedgerEntry, Money, Reservation
from routekit_redis import scripts
from routekit_redis.connection import check_server, check_url, connect, epoch_of, prefix_of, unavailable
from routekit_redis.options import RedisLedgerOptions

MOST = 2**62
"""Amounts and limits above it do not fit into what Redis adds exactly."""

PAGE = 1000
LATE_BATCH = 200
"""Ends that one script writes."""

LATE_MOST = 10_000
"""Ends that could not be written, kept for the next call."""

_log = logging.getLogger("routekit.redis")


class RedisLedger(Ledger):
    """Balances, holds and entries of several machines, on one server or one slot of a cluster.

    All charges of a reservation are taken by one script, or none is. The server's clock decides about
    leases. Every failure refuses (fails closed); so does a server that has lost its data, until
    `reinitialise` is called. Ends that do not get through are kept and sent with the next call; until
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
        check_url(self.options)
        self._env = env or {}
        self._home = home
        self._prefix = prefix_of(self.options.name)
        self._lock = threading.Lock()
        self._client: Any = None
        self._epoch = ""
        self._scripts: dict[str, Any] = {}
        self._late: dict[str, tuple[Reservation, str, str]] = {}
        self._sending = threading.Lock()
        self._glances: dict[str, Balance] = {}
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Ends that wait are the parent's, which sends them itself."""
        self._lock, self._sending, self._late = threading.Lock(), threading.Lock(), {}

    def reserve(self, reservation: Reservation) -> None:
        amount = _amount(reservation.amount)
        keys = list({charge.key: charge.scope for charge in reservation.charges}.items())
        arguments = [
            reservation.id, amount, reservation.lease_s, reservation.deployment, reservation.request_id,
            json.dumps(keys, ensure_ascii=False),
        ]  # fmt: skip
        for place, charge in enumerate(reservation.charges):
            hard = charge.hard and amount != "0"
            limit = str(min(charge.limit.nanos, 2 * MOST - 1))
            arguments += [place, limit, int(hard), len(charge.keys) if hard else 0, *(charge.keys if hard else ())]
        self._send_late()
        answer = self._run(scripts.RESERVE, *arguments)
        if answer[0] == "refused":
            charge = reservation.charges[int(answer[1])]
            raise BudgetExceededError(
                scope=charge.scope, limit=charge.limit, spent=Money(int(answer[2])), reserved=Money(int(answer[3])),
                asked=reservation.amount, resets_at=charge.resets_at,
            )  # fmt: skip
        if answer[0] == "lost":
            raise BudgetUnavailableError(f"the hold {reservation.id} is {answer[1]}; take another one under a new id")

    def mark_sent(self, reservation: Reservation) -> None:
        if self._run(scripts.MARK_SENT, reservation.id)[0] != "ok":
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
            self._run(scripts.RENEW, reservation.id, reservation.lease_s)

    def glance(self, charge: Charge) -> Balance | None:
        """On an event loop: what the thread that writes ends has seen last."""
        return self._glances.get(charge.key) if in_event_loop() else self.balance(charge)

    def balance(self, charge: Charge) -> Balance:
        answer = self._run(scripts.BALANCE, *charge.keys)
        return Balance(spent=Money(int(answer[1])), reserved=Money(int(answer[2])))

    def balances(self) -> Iterator[tuple[str, str, Balance]]:
        self.holds()  # ends what is over
        for key, scope, spent, reserved in sorted(self._snapshot()[1]):
            yield key, scope, Balance(spent=Money(spent), reserved=Money(reserved))

    def entries(self, after: int = 0) -> Iterator[LedgerEntry]:
        while True:
            page = self._page(after)
            yield from page
            if len(page) < PAGE:
                return
            after = page[-1].seq

    def holds(self) -> list[Hold]:
        return [
            Hold(
                id=id_, state=cast(HoldState, state), amount=Money(int(amount)),
                keys=tuple((key, scope) for key, scope in json.loads(keys)), expires_at=float(expires_at),
                deployment=deployment, request_id=request_id,
            )
            for id_, state, amount, keys, expires_at, deployment, request_id in self._run(scripts.HOLDS)[1:]
        ]  # fmt: skip

    def correct(self, hold_id: str, actual: Money) -> None:
        if self._run(scripts.CORRECT, hold_id, _amount(actual))[0] != "ok":
            raise InvalidInputError(f"there is no uncertain hold {hold_id!r}; `routekit ledger holds` lists them")

    def verify(self) -> list[str]:
        last, balances, open_holds = self._snapshot()
        summed: dict[str, tuple[int, int]] = {}
        left: dict[tuple[str, str], int] = {}
        for entry in self.entries():
            if entry.seq > last:
                break
            spent, reserved = summed.get(entry.key, (0, 0))
            summed[entry.key] = spent + entry.spent, reserved + entry.reserved
            pair = (entry.hold, entry.key)
            left[pair] = left.get(pair, 0) + entry.reserved
            if not left[pair]:
                del left[pair]
        wrong = {key for key, _, spent, reserved in balances if summed.pop(key, (0, 0)) != (spent, reserved)}
        wrong |= summed.keys()
        held = {(hold, key): amount for hold, amount, keys in open_holds for key in keys if amount}
        wrong |= {key for (hold, key) in left.keys() | held.keys() if left.get((hold, key)) != held.get((hold, key))}
        return sorted(wrong)

    def close(self) -> None:
        if self._late:
            try:
                while self._late:
                    self._send_late()
            except BudgetUnavailableError as error:
                _log.warning("%d ends were not written; the leases of their holds decide: %s", len(self._late), error)
        with self._lock:
            if self._client is not None:
                self._client.close()
            self._client = None

    def _end(self, reservation: Reservation, actual: str, kind: str) -> None:
        """Clean-up code calls this and has an answer in its hands. Until the end is written the hold counts."""
        if len(self._late) < LATE_MOST:
            self._late.setdefault(reservation.id, (reservation, actual, kind))
        else:
            _log.error("too many ends wait for the Redis server; the lease of hold %s decides", reservation.id)
        if in_event_loop():  # which must not wait for a server
            self._send_later()
            return
        try:
            self._send_late()
        except BudgetUnavailableError as error:
            _log.warning("%d ends of holds are written later: %s", len(self._late), error)

    def _send_late(self) -> None:
        """Writes the ends that wait, so many at once, for as long as one call may take. A poisoned one stops no other.

        Raises:
            BudgetUnavailableError: the server failed; what is left is sent with the next call.
        """
        until = time.monotonic() + self.options.timeout_s
        while self._late:
            batch = list(self._late.items())[:LATE_BATCH]
            arguments = [text for hold_id, (_, actual, kind) in batch for text in (hold_id, actual, kind)]
            for hold_id in self._run(scripts.END, *arguments)[1:]:
                _log.error(
                    "hold %s cannot be ended: it is damaged on the server; `routekit ledger holds` shows it", hold_id
                )
            for hold_id, _ in batch:
                self._late.pop(hold_id, None)
            if time.monotonic() >= until:
                return

    def _send_later(self) -> None:
        """One thread sends what waits; what a server that fails has not taken goes with the next call."""
        if self._sending.acquire(blocking=False):
            try:
                threading.Thread(target=self._send, name="routekit-redis-ends", daemon=True).start()
            except RuntimeError:  # the interpreter is ending; `close` sends them
                self._sending.release()

    def _send(self) -> None:
        try:
            while self._late:
                charges = {c.key: c for one, _, _ in list(self._late.values()) for c in one.charges if c.warn_at}
                self._send_late()
                if len(self._glances) > LATE_MOST:
                    self._glances.clear()
                for key, charge in charges.items():
                    self._glances[key] = self.balance(charge)
        except Exception as error:
            _log.warning("%d ends of holds are written later: %s", len(self._late), error)
            self._sending.release()
        else:
            self._sending.release()
            if self._late:
                self._send_later()  # told after this thread had looked

    def _snapshot(self) -> tuple[int, list[tuple[str, str, int, int]], list[tuple[str, int, list[str]]]]:
        """Number of the last entry, balances, and open holds with their keys, as of one moment."""
        answer = self._run(scripts.SNAPSHOT)
        rows, holds = answer[2:-1], answer[-1][1]
        balances = [(key, scope, int(spent), int(reserved)) for key, scope, spent, reserved in rows]
        opened = [(id_, int(amount), [key for key, _ in json.loads(keys)]) for id_, amount, keys in holds]
        return int(answer[1]), balances, opened

    def _page(self, after: int) -> list[LedgerEntry]:
        self._ready()
        try:
            rows = self._client.xrange(f"{self._prefix}:entries", min=f"({after}-1", count=PAGE)
        except (redis.RedisError, OSError) as error:
            raise unavailable(error) from None
        found = []
        for name, raw in rows:
            fields = {key.decode(): value.decode("utf-8", "replace") for key, value in raw.items()}
            found.append(
                LedgerEntry(
                    seq=int(name.partition(b"-")[0]), at=float(fields["at"]), kind=cast(EntryKind, fields["kind"]),
                    hold=fields["hold"], key=fields["key"], scope=fields["scope"], spent=int(fields["spent"]),
                    reserved=int(fields["reserved"]), deployment=fields["dep"], request_id=fields["req"],
                )
            )  # fmt: skip
        return found

    def _run(self, script: str, *arguments: Any) -> Any:
        """What a script answers, as texts.

        Raises:
            BudgetUnavailableError: the server failed, or it has lost the ledger.
        """
        self._ready()
        try:
            answer = self._scripts[script](keys=[self._prefix], args=[self._epoch, *map(_encoded, arguments)])
        except UnicodeEncodeError:
            raise BudgetUnavailableError("a name in this call is no valid Unicode, so nothing was written") from None
        except (redis.RedisError, OSError) as error:
            raise unavailable(error) from None
        answer = _decoded(answer)
        if answer[0] == "forbidden":
            raise BudgetUnavailableError(
                f"the server's user may not use the command {answer[1]}, so nothing was written; give that permission "
                "(ACL SETUSER), or another user's URL"
            )
        if answer[0] == "damaged":
            raise BudgetUnavailableError(
                f"what the Redis server keeps under {answer[1]!r} is no balance of this ledger, so nothing was "
                "written; look at it there, and restore or remove it"
            )
        if answer[0] == "flushed":
            raise BudgetUnavailableError(
                "the Redis server has lost this ledger (flushed, or a replica without its data took over); budgets "
                "fail closed until it is restored, or routekit_redis.reinitialise(...) takes it as it is"
            )
        return answer

    def _ready(self) -> None:
        """Connects and looks at the server, at the first call."""
        if self._client is None:
            with self._lock:
                if self._client is None:
                    self._client = self._opened()

    def _opened(self) -> Any:
        client = connect(self.options, self._env)
        try:
            check_server(client, self.options.persistence)
            self._epoch = epoch_of(client, self._prefix, self._home, self.options.accept_new)
            for name in ("RESERVE", "MARK_SENT", "RENEW", "END", "CORRECT", "BALANCE", "HOLDS", "SNAPSHOT"):
                text = getattr(scripts, name)
                self._scripts[text] = client.register_script(text)
        except BaseException:
            client.close()
            raise
        return client


def _amount(money: Money) -> str:
    if money.nanos > MOST:
        raise BudgetUnavailableError(f"{money} is more than the Redis ledger can hold; nothing was changed")
    return str(money.nanos)


def _encoded(value: Any) -> bytes:
    return str(value).encode()


def _decoded(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return [_decoded(inner) for inner in value] if isinstance(value, list) else value
