"""``routekit health``: the state of each deployment."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Mapping
from contextlib import closing
from typing import Any

import click

from routekit.cli.output import Column, harmless, json_option, print_json, say, seconds, table
from routekit.cli.session import Session, pass_session
from routekit.engine.snapshots import read_snapshots

_COLUMNS = (
    Column("deployment"),
    Column("state"),
    Column("until"),
    Column("in flight", "right"),
    Column("calls", "right"),
    Column("first token", "right"),
    Column("total p50", "right"),
    Column("p95", "right"),
    Column("reason", wrap=True),
)


@click.command(short_help="Show the state of each deployment, in running programs or afresh.")
@json_option
@pass_session
def health(session: Session, as_json: bool) -> None:
    """Show the breaker, latency and calls in flight of each deployment.

    Programs that route with the same ROUTEKIT_HOME leave their figures there every few seconds, and at
    once when a state changes; each is shown with its age. Where none runs, the configured deployments
    are shown as a program that has just started sees them. Programs call `Router.health()` for their own.
    """
    with closing(session.router()) as router:
        running = read_snapshots(router.home)
        fresh = router.health()
    if as_json:
        afresh = [{**row._asdict(), "latency": _plain(row.latency), "pid": None} for row in fresh]
        print_json(
            [{**row, "pid": each["pid"], "at": each["at"]} for each in running for row in each["rows"]] or afresh
        )
        return
    for program in running:
        age = max(0.0, time.time() - program["at"])
        say(harmless(f"{program['program']}, process {program['pid']}, {age:.0f} s ago"))
        table(_COLUMNS, [_shown(row) for row in program["rows"]])
    if not running:
        table(_COLUMNS, [_shown({**row._asdict(), "latency": _plain(row.latency)}) for row in fresh])


def _shown(row: Mapping[str, Any]) -> list[str]:
    until = dt.datetime.fromtimestamp(row["until"]).strftime("%H:%M:%S") if row.get("until") else "-"
    latency: Mapping[str, Any] = row.get("latency") or {}
    return [
        str(row.get("deployment")),
        str(row.get("state")),
        until,
        str(row.get("in_flight")),
        str(latency.get("samples") or 0),
        seconds(latency.get("ttft_p50_s")),
        seconds(latency.get("total_p50_s")),
        seconds(latency.get("total_p95_s")),
        str(row.get("reason") or "-"),
    ]


def _plain(latency: object) -> dict[str, object] | None:
    from dataclasses import asdict, is_dataclass

    return asdict(latency) if is_dataclass(latency) and not isinstance(latency, type) else None
