"""``routekit health``: the state of each deployment."""

from __future__ import annotations

import datetime as dt
from contextlib import closing

import click

from routekit.cli.output import Column, json_option, print_json, seconds, table
from routekit.cli.session import Session, pass_session

_COLUMNS = (
    Column("deployment"),
    Column("state"),
    Column("until"),
    Column("in flight", "right"),
    Column("calls", "right"),
    Column("first token", "right"),
    Column("total", "right"),
    Column("reason", wrap=True),
)


@click.command(short_help="Show the state of each deployment in this process.")
@json_option
@pass_session
def health(session: Session, as_json: bool) -> None:
    """Show the breaker, latency and calls in flight of each deployment.

    Health lives in the process that routes: a command that has just started knows of no failures yet.
    Programs call `Router.health()` for theirs.
    """
    with closing(session.router()) as router:
        rows = router.health()
    if as_json:
        print_json([{**row._asdict(), "latency": _plain(row.latency)} for row in rows])
        return
    shown = []
    for row in rows:
        until = dt.datetime.fromtimestamp(row.until).strftime("%H:%M:%S") if row.until else "-"
        latency = row.latency
        shown.append(
            [
                row.deployment,
                row.state,
                until,
                str(row.in_flight),
                str(latency.samples if latency else 0),
                seconds(latency.ttft_p50_s if latency else None),
                seconds(latency.total_p50_s if latency else None),
                row.reason or "-",
            ]
        )
    table(_COLUMNS, shown)


def _plain(latency: object) -> dict[str, object] | None:
    from dataclasses import asdict, is_dataclass

    return asdict(latency) if is_dataclass(latency) and not isinstance(latency, type) else None
