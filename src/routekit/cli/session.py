"""What the commands of one invocation share: the options of the main group, and the router made from them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from routekit.config import Config
    from routekit.router import Router


@dataclass(slots=True)
class Session:
    """`config` is the path given with ``--config``, or None; `debug` whether tracebacks are wanted."""

    config: str | None = None
    debug: bool = False

    def load(self) -> Config:
        """The configuration: the file that was named, else what `Router()` would find.

        Raises:
            ConfigError: it is missing or wrong.
        """
        from routekit.config import Config

        return Config.find(os.environ) if self.config is None else Config.from_file(self.config)

    def router(self) -> Router:
        """A router on that configuration; the caller closes it.

        Raises:
            ConfigError, PluginError: it cannot be made.
        """
        from routekit.router import Router

        return Router(self.load())


pass_session = click.make_pass_decorator(Session, ensure=True)
