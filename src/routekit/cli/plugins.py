"""``routekit plugins``: every plugin, and those that failed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from routekit.cli.lazy_group import Lazy, LazyGroup
from routekit.cli.output import Column, json_option, one_line, print_json, table

if TYPE_CHECKING:
    from routekit.plugin.registry import Registered

_COLUMNS = (
    Column("kind"),
    Column("name"),
    Column("distribution"),
    Column("state"),
    Column("summary or failure", wrap=True),
)
_COMMANDS = {"new": Lazy("routekit.cli.plugin_new:new", "Start a plugin of your own.")}


@click.group(cls=LazyGroup, lazy=_COMMANDS, invoke_without_command=True, short_help="List every plugin; start one.")
@json_option
@click.option("--strict", is_flag=True, help="End with exit code 1 where a plugin cannot be used.")
@click.pass_context
def plugins(ctx: click.Context, as_json: bool, strict: bool) -> None:
    """List every plugin by kind: name, distribution and version, state, and why a broken one failed."""
    if ctx.invoked_subcommand is not None:
        if as_json or strict:
            raise click.UsageError("--json and --strict belong to the list, not to a subcommand")
        return
    from routekit.plugin.manager import discover

    rows = [_described(found) for found in discover(os.environ)]
    if as_json:
        print_json(rows)
    else:
        table(_COLUMNS, [_row(row) for row in rows])
    if strict and any(row["state"] != "ok" for row in rows):
        ctx.exit(1)


def _described(found: Registered) -> dict[str, str | None]:
    return {
        "kind": found.kind,
        "name": found.name,
        "distribution": found.distribution,
        "version": found.version,
        "state": found.state,
        "summary": found.plugin.summary if found.plugin is not None else None,
        "failure": str(found.error) if found.error is not None else None,
    }


def _row(row: dict[str, str | None]) -> list[str]:
    said = one_line(row["failure"] or row["summary"] or "")
    return [row["kind"] or "", row["name"] or "", f"{row['distribution']} {row['version']}", row["state"] or "", said]
