"""What a transaction writes into the ledger. Every function runs inside of one that its caller began."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Literal

from routekit.errors import BudgetExceededError, BudgetUnavailableError, InvalidInputError
from routekit.types import Charge, Hold, LedgerEntry, Money, Reservation

EXPIRED_KEPT_S = 7 * 86_400.0
"""How long a hold that was given back unsent is remembered, should an end come for it after all."""

UNCERTAIN: Literal["uncertain"] = "uncertain"
Ending = int | None | Literal["uncertain"]
"""How a hold ends: spent so much (nano-dollars), given back, or spent at its whole amount until somebody knows."""

_OPEN = "('reserved', 'sent')"


def used(database: sqlite3.Connection, charge: Charge) -> tuple[int, int]:
    """What is spent and reserved under all keys of the charge."""
    if not charge.prior:
        return balance(database, charge.key)
    marks = ",".join("?" * len(charge.keys))
    query = f"SELECT coalesce(sum(spent), 0), coalesce(sum(reserved), 0) FROM balances WHERE key IN ({marks})"  # noqa: S608 - question marks
    row: tuple[int, int] = database.execute(query, charge.keys).fetchone()
    return row


def balance(database: sqlite3.Connection, key: str) -> tuple[int, int]:
    return database.execute("SELECT spent, reserved FROM balances WHERE key = ?", (key,)).fetchone() or (0, 0)


def take(database: sqlite3.Connection, reservation: Reservation, now: float) -> BudgetExceededError | None:
    """Takes the hold, or says why not. A hold that is open already stays as it is.

    Raises:
        BudgetUnavailableError: a hold of this id was lost.
    """
    amount = reservation.amount.nanos
    known = database.execute("SELECT state FROM holds WHERE id = ?", (reservation.id,)).fetchone()
    if known is not None:
        if known[0] in ("reserved", "sent"):
            return None
        raise BudgetUnavailableError(f"the hold {reservation.id} is {known[0]}; take another one under a new id")
    for charge in reservation.charges:
        if not (charge.hard and amount):
            continue
        spent, reserved = used(database, charge)
        if spent + reserved + amount > charge.limit.nanos:
            return BudgetExceededError(
                scope=charge.scope,
                limit=charge.limit,
                spent=Money(spent),
                reserved=Money(reserved),
                asked=reservation.amount,
                resets_at=charge.resets_at,
            )
    # Two budgets on one scope and window share a key: its balance is drawn on once.
    keys = list({charge.key: charge.scope for charge in reservation.charges}.items())
    label = (reservation.deployment, reservation.request_id)
    database.execute(
        "INSERT INTO holds VALUES (?, ?, ?, ?, 'reserved', ?, ?)",
        (reservation.id, json.dumps(keys), amount, now + reservation.lease_s, *label),
    )
    _enter(database, "reserve", reservation.id, keys, 0, amount, now, label)
    return None


def mark_sent(database: sqlite3.Connection, reservation: Reservation, now: float) -> bool:
    """Whether the hold is still there, and is now known to be sent."""
    changed = database.execute(
        f"UPDATE holds SET state = 'sent' WHERE id = ? AND state IN {_OPEN} AND expires_at > ?",  # noqa: S608 - a constant
        (reservation.id, now),
    )
    return changed.rowcount == 1


def end(database: sqlite3.Connection, reservation: Reservation, actual: Ending, now: float) -> None:
    """Turns the hold into spending, or gives it back where `actual` is None. No hold, no effect.

    Where it is `UNCERTAIN`, the whole amount counts as spent and the hold stays, to be corrected.
    """
    hold = database.execute("SELECT keys, amount, state FROM holds WHERE id = ?", (reservation.id,)).fetchone()
    if hold is None:
        return
    keys, amount, state = json.loads(hold[0]), hold[1], hold[2]
    if actual == UNCERTAIN:
        if state != "uncertain":
            database.execute("UPDATE holds SET state = 'uncertain' WHERE id = ?", (reservation.id,))
            held = 0 if state == "expired" else -amount
            label = (reservation.deployment, reservation.request_id)
            _enter(database, "uncertain", reservation.id, keys, amount, held, now, label)
        return
    database.execute("DELETE FROM holds WHERE id = ?", (reservation.id,))
    spent = actual or 0
    if state == "uncertain":  # counted as spent already
        spent, reserved = spent - amount, 0
    else:
        reserved = 0 if state == "expired" else -amount
    label = (reservation.deployment, reservation.request_id)
    _enter(database, "release" if actual is None else "settle", reservation.id, keys, spent, reserved, now, label)


def renew(database: sqlite3.Connection, reservation: Reservation, now: float) -> None:
    """The lease of an open hold starts anew."""
    database.execute(
        f"UPDATE holds SET expires_at = ? WHERE id = ? AND state IN {_OPEN}",  # noqa: S608 - a constant
        (now + reservation.lease_s, reservation.id),
    )


def has_lapsed(database: sqlite3.Connection, now: float) -> bool:
    """Whether a lease has run out that `expire` has not seen."""
    query = f"SELECT 1 FROM holds WHERE state IN {_OPEN} AND expires_at <= ? LIMIT 1"  # noqa: S608 - a constant
    return database.execute(query, (now,)).fetchone() is not None


def expire(database: sqlite3.Connection, now: float) -> None:
    """Ends holds past their lease: what was sent may have been billed, and counts; what was not is given back."""
    lost = database.execute(
        f"SELECT id, keys, amount, state, deployment, request_id FROM holds WHERE state IN {_OPEN} AND expires_at <= ?",  # noqa: S608 - a constant
        (now,),
    ).fetchall()
    for hold, keys, amount, state, deployment, request_id in lost:
        pairs = _pairs(keys)
        if pairs is None:
            continue  # `holds` shows it as damaged; it blocks nobody
        sent = state == "sent"
        database.execute("UPDATE holds SET state = ? WHERE id = ?", ("uncertain" if sent else "expired", hold))
        _enter(
            database, "uncertain" if sent else "expire", hold, pairs, amount if sent else 0, -amount, now,
            (deployment, request_id),
        )  # fmt: skip
    if lost:
        database.execute("DELETE FROM holds WHERE state = 'expired' AND expires_at < ?", (now - EXPIRED_KEPT_S,))


def correct(database: sqlite3.Connection, hold_id: str, actual: int, now: float) -> None:
    """Replaces what is booked for a hold, uncertain or settled, by what was billed: by one entry of the difference."""
    open_one = database.execute(f"SELECT 1 FROM holds WHERE id = ? AND state IN {_OPEN}", (hold_id,)).fetchone()  # noqa: S608 - a constant
    booked = database.execute(
        "SELECT key, scope, sum(spent), max(deployment), max(request_id), max(kind = 'correct') FROM entries "
        "WHERE hold = ? GROUP BY key, scope",
        (hold_id,),
    ).fetchall()
    if open_one is not None or not booked or booked[0][5]:
        why = ": its call is still under way" if open_one else ": it was corrected already" if booked else ""
        raise InvalidInputError(
            f"there is no uncertain hold {hold_id!r} and no settled one to correct{why}; "
            "`routekit ledger holds` lists those that are uncertain, `routekit ledger export` every entry with its hold"
        )
    database.execute("DELETE FROM holds WHERE id = ?", (hold_id,))
    for key, scope, spent, deployment, request_id, _ in booked:
        _enter(database, "correct", hold_id, [(key, scope)], actual - spent, 0, now, (deployment, request_id))


def holds(database: sqlite3.Connection) -> list[Hold]:
    rows = database.execute(
        "SELECT id, state, amount, keys, expires_at, deployment, request_id FROM holds ORDER BY expires_at, id"
    )
    found = []
    for hold, state, amount, keys, expires_at, deployment, request_id in rows:
        pairs = _pairs(keys)
        found.append(
            Hold(
                id=hold, state="damaged" if pairs is None else state, amount=Money(amount), keys=tuple(pairs or ()),
                expires_at=expires_at, deployment=deployment, request_id=request_id,
            )
        )  # fmt: skip
    return found


def page(database: sqlite3.Connection, after: int, size: int) -> list[LedgerEntry]:
    """The next entries behind `after`."""
    rows = database.execute(
        "SELECT seq, at, kind, hold, key, scope, spent, reserved, deployment, request_id "
        "FROM entries WHERE seq > ? ORDER BY seq LIMIT ?",
        (after, size),
    )
    return [
        LedgerEntry(
            seq=seq, at=at, kind=kind, hold=hold, key=key, scope=scope, spent=spent, reserved=reserved,
            deployment=deployment, request_id=request_id,
        )
        for seq, at, kind, hold, key, scope, spent, reserved, deployment, request_id in rows
    ]  # fmt: skip


def faults(database: sqlite3.Connection) -> list[str]:
    """The keys whose balance is not the sum of their entries, or whose reserved part is not that of the open holds."""
    kept = {key: (spent, reserved) for key, spent, reserved in
            database.execute("SELECT key, spent, reserved FROM balances")}  # fmt: skip
    summed = {key: (spent, reserved) for key, spent, reserved in
              database.execute("SELECT key, sum(spent), sum(reserved) FROM entries GROUP BY key")}  # fmt: skip
    held: dict[str, int] = {}
    open_holds: dict[tuple[str, str], int] = {}
    for hold, keys, amount in database.execute(f"SELECT id, keys, amount FROM holds WHERE state IN {_OPEN}"):  # noqa: S608 - a constant
        for key, _ in _pairs(keys) or ():
            held[key] = held.get(key, 0) + amount
            open_holds[hold, key] = amount
    wrong = {
        key
        for key in kept.keys() | summed.keys() | held.keys()
        if kept.get(key) != summed.get(key) or kept.get(key, (0, 0))[1] != held.get(key, 0)
    }
    unended = database.execute(
        "SELECT hold, key, sum(reserved) AS left FROM entries GROUP BY hold, key HAVING left <> 0"
    )
    for hold, key, left in unended:
        if open_holds.get((hold, key)) != left:
            wrong.add(key)
    return sorted(wrong)


def _pairs(keys: str) -> list[tuple[str, str]] | None:
    """Keys and scopes of a hold; None where somebody has spoilt them."""
    try:
        return [(str(key), str(scope)) for key, scope in json.loads(keys)]
    except (ValueError, TypeError):
        return None


def _enter(
    database: sqlite3.Connection,
    kind: str,
    hold: str,
    keys: Sequence[Sequence[str]],
    spent: int,
    reserved: int,
    now: float,
    label: tuple[str, str],
) -> None:
    """One entry per key, and the balances with them."""
    for key, scope in keys:
        database.execute(
            "INSERT INTO entries (at, kind, hold, key, scope, spent, reserved, deployment, request_id) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (now, kind, hold, key, scope, spent, reserved, *label),
        )
        before = balance(database, key)
        database.execute(
            "INSERT INTO balances VALUES (?, ?, ?, ?) "
            "ON CONFLICT (key) DO UPDATE SET spent = excluded.spent, reserved = excluded.reserved",
            (key, scope, before[0] + spent, before[1] + reserved),
        )
