"""``routekit spend``: what was spent and saved, and by whom."""

from __future__ import annotations

import csv
import datetime as dt
import os
import re
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import click

from routekit.cli.output import Column, harmless, json_option, note, on_terminal, print_json, say, table, usd
from routekit.cli.session import Session, pass_session

if TYPE_CHECKING:
    from routekit.builtin.observers.records.store import RecordStore, Spend

GROUPS = ("project", "tag", "user", "run", "step", "model", "deployment", "provider", "strategy", "day")
_COLUMNS = (
    Column("calls", "right"), Column("tokens in", "right"), Column("out", "right"), Column("spent", "right"),
    Column("saved", "right"), Column("routing", "right"), Column("caching", "right"), Column("compression", "right"),
    Column("overhead", "right"), Column("hits", "right"), Column("fallbacks", "right"), Column("failures", "right"),
)  # fmt: skip
_SPAN = re.compile(r"(\d+)\s*([mhdw])")
_SPAN_S = {"m": 60, "h": 3600, "d": 86400, "w": 604800}
BAR = 40


class Since(click.ParamType[float]):
    """A span back from now ("7d"), or a date or time; in seconds since 1970."""

    name = "when"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        if found := _SPAN.fullmatch(value):
            return time.time() - int(found[1]) * _SPAN_S[found[2]]
        try:
            return dt.datetime.fromisoformat(value).astimezone().timestamp()
        except ValueError:
            self.fail(f"{value!r} is neither a span (90m, 24h, 7d, 2w) nor a date (2026-11-01)", param, ctx)


since_option = click.option(
    "--since", type=Since(), metavar="WHEN", help="A span back from now (90m, 24h, 7d, 2w) or a date (2026-11-01)."
)


@click.command(short_help="Show what was spent and saved, and by whom.")
@click.option("--by", type=click.Choice(GROUPS), help="Group by this. Default: the deployment.")
@since_option
@json_option
@click.option("--csv", "as_csv", is_flag=True, help="Print comma-separated values.")
@pass_session
def spend(session: Session, by: str | None, since: float | None, as_json: bool, as_csv: bool) -> None:
    """Show what requests cost and what was saved against the baseline deployment, with a chart.

    A request with several tags or users counts in each of them; the total counts it once. Amounts in JSON and
    CSV are in nano-dollars. The baseline is [savings] `baseline`, or the best deployment that would have done.
    """
    if as_json and as_csv:
        raise click.UsageError("--json and --csv exclude each other")
    by = by or "deployment"
    with closing(records_of(session)) as store:
        rows, total, left_out = store.spend(by, since), store.spend(None, since), store.left_out(since)
    if as_json:
        whole = total[0]._asdict() if total else None
        print_json({"by": by, "rows": [row._asdict() for row in rows], "total": whole, "left_out": left_out})
    elif as_csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        fields = total[0]._fields if total else ()
        writer.writerow([by, *fields[1:]])
        writer.writerows(rows)
    elif not total:
        note(f"no requests are recorded{' since then' if since else ''}; programs that use a Router leave records here")
    else:
        table((Column(by), *_COLUMNS), [_shown(row) for row in (*rows, *(total[0]._replace(name="total"),))])
        say()
        for line in bars(rows):
            say(line)
        if unpriced := total[0].unpriced:
            note(f"{unpriced} calls of models without a known price are not in these figures")
        if left_out:
            note(f"{left_out} requests could not be recorded and are not in these figures; the ledger has their cost")


def records_of(session: Session) -> RecordStore:
    """The records that programs with this configuration's home leave."""
    from routekit.builtin.observers.records.store import FILE, RecordStore
    from routekit.config.load import home_of

    if session.config is not None:
        session.load()  # what is wrong with it is said first
    return RecordStore(home_of(os.environ) / FILE)


def bars(rows: list[Spend]) -> list[str]:
    """A horizontal bar for each row's spending, and behind it, lighter, what it would have cost on top."""
    full, light = ("█", "░") if _can_draw() else ("#", ".")
    longest = max((max(row.cost_nanos, row.cost_nanos + row.saved_nanos) for row in rows), default=0)
    if not longest:
        return []
    width = max(len(harmless(row.name)) for row in rows)
    lines = []
    for row in rows:
        spent = -(-row.cost_nanos * BAR // longest)
        saved = max(0, row.saved_nanos) * BAR // longest
        bar = full * spent + light * saved
        lines.append(f"{harmless(row.name):<{width}}  {bar:<{BAR + 1}} {usd(row.cost_nanos)}")
    lines.append(f"{'':<{width}}  {full} spent   {light} saved")
    return lines


def _shown(row: Spend) -> list[str]:
    return [
        row.name, str(row.calls), f"{row.input_tokens:,}", f"{row.output_tokens:,}", usd(row.cost_nanos),
        _signed(row.saved_nanos), _signed(row.routing_nanos), _signed(row.caching_nanos),
        _signed(row.compression_nanos), _signed(-row.overhead_nanos), str(row.hits), str(row.fallbacks),
        str(row.failures),
    ]  # fmt: skip


def _signed(nanos: int) -> str:
    return f"-{usd(-nanos)}" if nanos < 0 else usd(nanos)


def _can_draw() -> bool:
    encoding = (getattr(sys.stdout, "encoding", None) or "ascii").lower()
    return encoding.startswith("utf") or not on_terminal(sys.stdout)
