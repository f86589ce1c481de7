"""Writes the pages of docs/reference from the code: ``python docs/generate.py``. A test says when they are stale."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel

from routekit import config, errors
from routekit.builtin.strategies import BUILTIN
from routekit.cli import main as command_line
from routekit.config.tables.budgets import BudgetTable, PriceTable
from routekit.config.tables.cache import CacheTable
from routekit.config.tables.compressors import CompressorTable
from routekit.config.tables.deployments import DeploymentTable, LimitsTable
from routekit.config.tables.router import GroupTable, RouterTable, StepTable, WhenTable
from routekit.plugin.hookspecs import HOOKS, RoutekitSpecs
from routekit.plugin.manager import discover

HERE = Path(__file__).parent / "reference"
NOTE = "<!-- Written by docs/generate.py from the code; do not edit. -->\n\n"


def pages() -> dict[str, str]:
    """File name to content."""
    return {
        "errors.md": NOTE + _errors(),
        "strategies.md": NOTE + _strategies(),
        "configuration.md": NOTE + _configuration(),
        "plugins.md": NOTE + _plugins(),
        "cli.md": NOTE + _cli(),
    }


def _errors() -> str:
    lines = ["# Errors\n", "All can be imported from `routekit`. Attributes decide behaviour, never text.\n"]
    tree = inspect.cleandoc(errors.__doc__ or "").split("\n\n")[1]
    lines.append(f"```text\n{inspect.cleandoc(tree)}\n```\n")
    for name, found in vars(errors).items():
        if inspect.isclass(found) and issubclass(found, errors.RoutekitError):
            lines.append(f"## {name}\n\n{inspect.cleandoc(found.__doc__ or '')}\n")
    return "\n".join(lines)


def _strategies() -> str:
    lines = ["# Strategies\n"]
    for strategy in BUILTIN:
        lines.append(f"## {strategy.name}\n\n{inspect.cleandoc(strategy.__doc__ or '')}\n")
        lines.append(_options(strategy.Options))
    return "\n".join(lines)


def _configuration() -> str:
    lines = ["# Configuration\n", inspect.cleandoc(config.Config.find.__doc__ or "") + "\n"]
    lines.append(
        "Environment: `ROUTEKIT_CONFIG` (the file), `ROUTEKIT_HOME` (state), `ROUTEKIT_PLUGINS` (a comma-separated"
    )
    lines.append("list of the only distributions or entry points to load; empty loads none).\n")
    for title, model in (
        ("[router]", RouterTable),
        ("[[deployments]]", DeploymentTable),
        ("deployments.price", PriceTable),
        ("deployments.limits", LimitsTable),
        ("[groups.NAME]", GroupTable),
        ("[[steps]]", StepTable),
        ("steps.when", WhenTable),
        ("[[budgets]]", BudgetTable),
        ("[cache]", CacheTable),
    ):
        lines.append(f"## {title}\n\n{inspect.cleandoc(model.__doc__ or '')}\n")
        lines.append(_options(model))
    lines.append(f"## [[compressors]]\n\n{inspect.cleandoc(CompressorTable.__doc__ or '')}\n")
    lines.append(_options(CompressorTable))
    lines.append("## [[guards]], [[observers]], [strategies.NAME]\n")
    lines.append("`use` names the plugin; the other keys are its options, see [plugins](plugins.md).\n")
    return "\n".join(lines)


def _plugins() -> str:
    lines = ["# Plugins and hooks\n", "## Hooks\n", inspect.cleandoc(RoutekitSpecs.__doc__ or "") + "\n"]
    for kind, hook in HOOKS.items():
        lines.append(f"### {hook}\n\n{inspect.cleandoc(getattr(RoutekitSpecs, hook).__doc__ or '')}\n")
        del kind
    lines.append("## In the box\n")
    for found in discover({"ROUTEKIT_PLUGINS": ""}):
        if found.kind != "strategy":
            lines.append(f"### {found.kind} {found.name}\n\n{found.plugin.summary}\n")
            lines.append(_options(found.plugin.options))
    return "\n".join(lines)


def _cli() -> str:
    contexts = _contexts(command_line, "routekit", None)
    helps = [f"## {context.command_path}\n\n```text\n{context.get_help()}\n```\n" for context in contexts]
    return "\n".join(["# Command line\n", *helps])


def _contexts(command: click.Command, name: str, parent: click.Context | None) -> Iterator[click.Context]:
    """Every command's context inside its parents', as when it is typed."""
    settings = {**command.context_settings, "terminal_width": 88, "max_content_width": 88}
    context = click.Context(command, info_name=name, parent=parent, **settings)
    yield context
    if isinstance(command, click.Group):
        for inner_name in command.list_commands(context):
            inner = command.get_command(context, inner_name)
            if inner is not None:
                yield from _contexts(inner, inner_name, context)


def _options(model: type[BaseModel]) -> str:
    if not model.model_fields:
        return "It has no options.\n"
    lines = ["| key | type | default | |", "|---|---|---|---|"]
    for name, field in model.model_fields.items():
        if field.exclude:
            continue
        lines.append(
            f"| `{field.alias or name}` | {_type(field.annotation)} | {_default(field)} | {_cell(field.description)} |"
        )
    return "\n".join(lines) + "\n"


def _type(annotation: Any) -> str:
    if inspect.isclass(annotation) and not getattr(annotation, "__args__", None):
        return annotation.__name__
    plain = re.sub(r"Annotated\[Any, .*?\)\]", "strategy", str(annotation).replace("typing.", ""))
    return _cell(re.sub(r"routekit\.config\.(?:\w+\.)*", "", plain.replace("typing.", "")).replace("NoneType", "None"))


def _default(field: Any) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    return "" if value is None or isinstance(value, BaseModel) else f"`{_cell(repr(value))}`"


def _cell(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")


if __name__ == "__main__":
    for name, text in pages().items():
        HERE.mkdir(exist_ok=True)
        (HERE / name).write_text(text, encoding="utf-8")
