"""`routekit plugins new`."""

from __future__ import annotations

from pathlib import Path

import click

from routekit.cli.plugin_template import KINDS, names_for, write_plugin
from routekit.errors import RoutekitError


@click.command()
@click.argument("name")
@click.option("--kind", type=click.Choice(KINDS), default="strategy", show_default=True, help="What it plugs into.")
@click.option(
    "--path",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="The folder to write it into.",
)
def new(name: str, kind: str, path: Path) -> None:
    """Write a package with one plugin that passes the contract suite of its kind at once."""
    try:
        names = names_for(name, kind)
        root = write_plugin(names, path)
    except RoutekitError as error:
        raise click.UsageError(str(error)) from None
    click.echo(f"wrote {root}")
    click.echo(f'next: pip install -e "{root}[test]" && pytest {root}')
