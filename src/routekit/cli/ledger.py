"""``routekit ledger``: what the budgets hold, and whether their book is right."""

from __future__ import annotations

import csv
import datetime as dt
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from routekit.cli.output import Column, json_option, note, print_json, say, table, usd, working
from routekit.cli.session import Session, pass_session

if TYPE_CHECKING:
    from routekit.config import Config
    from routekit.plugin import Ledger
    from routekit.types import Balance, BudgetScope, LedgerEntry

_BUDGETS = (
    Column("budget"),
    Column("window"),
    Column("limit", "right"),
    Column("spent", "right"),
    Column("held", "right"),
    Column("left", "right"),
    Column("used", "right"),
    Column("resets"),
    Column("then"),
)
_HOLDS = (
    Column("hold"),
    Column("state"),
    Column("amount", "right"),
    Column("deployment"),
    Column("lease ends"),
    Column("budgets", wrap=True),
)
_ENTRY_COLUMNS = (
    "seq", "at", "kind", "hold", "key", "scope", "spent_nanos", "reserved_nanos", "deployment", "request_id",
)  # fmt: skip


@click.group(short_help="Show budgets and holds; verify, export, archive and correct the ledger.")
def ledger() -> None:
    """Show budgets and holds; verify, export, archive and correct the ledger."""


@ledger.command(short_help="Show each budget: limit, spent, held, left, and when it resets.")
@json_option
@pass_session
def budgets(session: Session, as_json: bool) -> None:
    """Show the configured budgets as they stand now. One for "kind:*" is shown for each value seen in its window."""
    with _store(session) as (config, store):
        rows = list(_standing(config, store))
    if as_json:
        print_json(rows)
    elif not rows:
        note("no budgets are configured; add a [[budgets]] table to routekit.toml")
    else:
        table(_BUDGETS, [_shown(row) for row in rows])


@ledger.command(short_help="Recompute every balance from the entries.")
@json_option
@click.pass_context
def verify(ctx: click.Context, as_json: bool) -> None:
    """Recompute every balance from the entries and the open holds. The exit code is 1 where one is wrong."""
    with _store(ctx.ensure_object(Session)) as (_, store), working("recomputing the balances"):
        wrong = store.verify()
        balances = sum(1 for _ in store.balances())
    if as_json:
        print_json({"ok": not wrong, "balances": balances, "wrong": wrong})
    elif wrong:
        for key in wrong:
            say(f"wrong: {key} is not the sum of its entries and holds")
    else:
        say(f"ok: {balances} balances are the sum of their entries")
    ctx.exit(1 if wrong else 0)


@ledger.command(short_help="Write every entry as CSV or as lines of JSON.")
@click.option("--csv", "form", flag_value="csv", default="csv", help="Comma-separated, with a heading. The default.")
@click.option("--jsonl", "form", flag_value="jsonl", help="One JSON object per line.")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="A file. Default: stdout.")
@click.option("--after", type=click.IntRange(min=0), default=0, help="Only entries with a larger number (seq).")
@pass_session
def export(session: Session, form: str, output: Path | None, after: int) -> None:
    """Write every entry, oldest first: amounts in nano-dollars, times in seconds since 1970.

    A balance is the sum of its entries. With --after, what was exported before is left out.
    """
    with _store(session) as (_, store):
        if output is None:
            _export(store.entries(after), form, sys.stdout)
            return
        with _replacing(output) as file:
            written = _export(store.entries(after), form, file)
    note(f"{written} entries written to {output}")


@ledger.command(short_help="List the holds that have not ended.")
@click.option("--state", type=click.Choice(["reserved", "sent", "uncertain", "expired", "damaged"]), help="Only those.")
@json_option
@pass_session
def holds(session: Session, state: str | None, as_json: bool) -> None:
    """List the holds that have not ended.

    "uncertain" are those of programs that went away in the middle of a call: their worst case counts as spent
    until `routekit ledger correct` says what the provider billed. "damaged" ones cannot be read and are put aside.
    """
    with _store(session) as (_, store):
        found = [hold for hold in store.holds() if state in (None, hold.state)]
    if as_json:
        print_json(
            [
                {**asdict(hold), "amount": hold.amount.nanos, "scopes": [scope for _, scope in hold.keys]}
                for hold in found
            ]
        )
    elif found:
        table(
            _HOLDS,
            [
                [
                    hold.id, hold.state, usd(hold.amount.nanos), hold.deployment or "-", _when(hold.expires_at),
                    ", ".join(dict.fromkeys(scope for _, scope in hold.keys)),
                ]
                for hold in found
            ],
        )  # fmt: skip
    else:
        note("there are none")


@ledger.command(short_help="Say what the call of an uncertain hold did cost.")
@click.argument("hold")
@click.argument("dollars", metavar="USD")
@pass_session
def correct(session: Session, hold: str, dollars: str) -> None:
    """Replace the worst case of the uncertain HOLD by what its call did cost, in US dollars (0 where nothing was)."""
    from routekit.types import Money

    actual = Money.from_usd(dollars)
    with _store(session) as (_, store):
        store.correct(hold, actual)
    say(f"{hold}: {actual}")


@ledger.command(short_help="Export old entries and fold them into their balances.")
@click.option("--older-than", "days", type=click.FloatRange(min=0), required=True, help="In days.")
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), required=True, help="A file to add to."
)
@pass_session
def archive(session: Session, days: float, output: Path) -> None:
    """Append entries older than so many days to a file, as lines of JSON, and fold them into their balances.

    What is folded is no longer in the store, which takes less memory then; balances stay as they are. Each page is on
    the disk before it leaves the store, so an interrupted run can only have written entries twice: `seq` tells.
    """
    import os
    import time

    with _store(session) as (_, store), output.open("a", encoding="utf-8") as file:
        output.chmod(0o600)

        def write(entries: Sequence[LedgerEntry]) -> None:
            _export(iter(entries), "jsonl", file)
            os.fsync(file.fileno())

        folded = store.archive(time.time() - days * 86_400, write)
    note(f"{folded} entries were added to {output} and folded into their balances")


@ledger.command(short_help="Go on with a ledger that its store has lost a part of.")
@click.confirmation_option(prompt="What the store has lost is not counted any more. Go on?")
@pass_session
def adopt(session: Session) -> None:
    """Go on with what the store has, after a failover, a crash or an eviction that lost entries or balances.

    Until then every program that has seen more refuses. Missing balances are added up from the entries that are left;
    compare with what the providers billed, and restore a backup rather than adopt where there is one.
    """
    with _store(session) as (_, store):
        for sentence in store.adopt():
            say(sentence)


@contextmanager
def _store(session: Session) -> Iterator[tuple[Config, Ledger]]:
    from routekit.errors import ConfigError
    from routekit.plugin import Ledger
    from routekit.router import Router

    with closing(Router(session.load())) as router, closing(router.budget_store()) as store:
        if not isinstance(store, Ledger):
            raise ConfigError(
                f"the budget store {type(store).__name__} keeps no entries",
                key="router.budget_store", file=router.config.file, fix='Use "ledger", or another one that does.',
            )  # fmt: skip
        yield router.config, store


def _standing(config: Config, store: Ledger) -> Iterator[dict[str, Any]]:
    """Each budget, and for "kind:*" each value seen in the window of now."""
    import time

    now = time.time()
    balances = [(key, scope, balance) for key, scope, balance in store.balances()]
    for budget in (entry.to_scope() for entry in config.budgets):
        found = dict(_of_budget(budget, balances, now))
        if not found and budget.value != "*":
            found = {budget.scope: (0, 0)}
        for scope, (spent, reserved) in sorted(found.items()):
            yield _row(budget, scope, spent, reserved, now)


def _of_budget(budget: BudgetScope, balances: list[tuple[str, str, Balance]], now: float) -> dict[str, tuple[int, int]]:
    from routekit.engine.budget.charges import prior_identities, window_identity

    identities = {window_identity(budget.window, budget.timezone, now)[0], *prior_identities(budget.window, now)}
    found: dict[str, tuple[int, int]] = {}
    for key, scope, balance in balances:
        wanted = scope.startswith(f"{budget.kind}:") if budget.value == "*" else scope == budget.scope
        if wanted and key.removeprefix(f"{scope}|") in identities:
            spent, reserved = found.get(scope, (0, 0))
            found[scope] = spent + balance.spent.nanos, reserved + balance.reserved.nanos
    return found


def _row(budget: BudgetScope, scope: str, spent: int, reserved: int, now: float) -> dict[str, Any]:
    from routekit.engine.budget.charges import window_identity

    resets_at = window_identity(budget.window, budget.timezone, now)[1]
    limit = budget.limit.nanos
    return {
        "scope": scope,
        "window": budget.window,
        "timezone": budget.timezone,
        "on_exceeded": budget.on_exceeded,
        "limit_nanos": limit,
        "spent_nanos": spent,
        "reserved_nanos": reserved,
        "left_nanos": max(0, limit - spent - reserved),
        "used": (spent + reserved) / limit if limit else 1.0,
        "resets_at": resets_at.isoformat() if resets_at else None,
    }


def _shown(row: dict[str, Any]) -> list[str]:
    resets_at = row["resets_at"]
    return [
        row["scope"],
        row["window"],
        usd(row["limit_nanos"]),
        usd(row["spent_nanos"]),
        usd(row["reserved_nanos"]),
        usd(row["left_nanos"]),
        f"{row['used']:.0%}",
        dt.datetime.fromisoformat(resets_at).astimezone().strftime("%Y-%m-%d %H:%M") if resets_at else "-",
        row["on_exceeded"],
    ]


def _export(entries: Iterator[LedgerEntry], form: str, file: TextIO) -> int:
    """Writes them; how many there were."""
    written = 0
    writer = csv.writer(file, lineterminator="\n") if form == "csv" else None
    if writer is not None:
        writer.writerow(_ENTRY_COLUMNS)
    for written, entry in enumerate(entries, start=1):  # noqa: B007 - the count is what is returned
        values = [getattr(entry, field.name) for field in fields(entry)]
        if writer is not None:
            writer.writerow(values)
        else:
            file.write(json.dumps(dict(zip(_ENTRY_COLUMNS, values, strict=True))) + "\n")
    file.flush()
    return written


@contextmanager
def _replacing(path: Path) -> Iterator[TextIO]:
    """A file that takes the place of `path` once it is whole; the owner's alone."""
    import os
    import tempfile

    handle, name = tempfile.mkstemp(dir=path.parent or Path(), prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            yield file
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _when(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M:%S")
