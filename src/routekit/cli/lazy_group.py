"""Groups whose commands are imported when they are called: the help of all costs the import of none."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any, NamedTuple

import click


class Lazy(NamedTuple):
    """Where a command lives, as "module:attribute", and its line in the group's help."""

    target: str
    summary: str

    @property
    def module(self) -> str:
        return self.target.partition(":")[0]

    def load(self) -> click.Command:
        module, _, attribute = self.target.partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command


class LazyGroup(click.Group):
    """A group with `lazy` commands by name, listed in that order."""

    def __init__(self, *args: Any, lazy: dict[str, Lazy] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lazy = {name: entry for name, entry in (lazy or {}).items() if importlib.util.find_spec(entry.module)}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self.lazy, *(name for name in self.commands if name not in self.lazy)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = self.lazy.get(cmd_name)
        return super().get_command(ctx, cmd_name) if entry is None else entry.load()

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = []
        for name in self.list_commands(ctx):
            entry = self.lazy.get(name)
            rows.append((name, entry.summary if entry else self.commands[name].get_short_help_str(limit=80)))
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)
