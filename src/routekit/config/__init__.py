"""routekit.toml: its shape, where it is found, and how it becomes frozen types."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from routekit.catalog.catalog import Catalog
from routekit.catalog.endpoints import deployments_from_env
from routekit.config import build
from routekit.config.load import FILE_NAME, home_of
from routekit.config.tables.base import StrategySpec, Table
from routekit.config.tables.budgets import BudgetTable
from routekit.config.tables.cache import CacheTable
from routekit.config.tables.deployments import DeploymentTable
from routekit.config.tables.reliability import ReliabilityTable
from routekit.config.tables.router import GroupTable, RecordsTable, RouterTable, SavingsTable, StepTable
from routekit.config.trust import check_owner, folders_upwards
from routekit.config.validate import check_names, refuse_secrets
from routekit.engine.settings import (
    EngineSettings,
)
from routekit.errors import ConfigError
from routekit.plugin.options import config_error
from routekit.plugin.registry import Registry
from routekit.types import Deployment

__all__ = ["FILE_NAME", "Config", "home_of", "named"]


class Config(Table):
    """A whole configuration. `file` is where it was read; None for a dictionary or the environment."""

    router: RouterTable = RouterTable()
    deployments: list[DeploymentTable] = []
    groups: dict[str, GroupTable] = {}
    aliases: dict[str, str] = {}
    strategies: dict[str, StrategySpec] = {}
    steps: list[StepTable] = []
    budgets: list[BudgetTable] = []
    cache: CacheTable = CacheTable()
    reliability: ReliabilityTable = ReliabilityTable()
    savings: SavingsTable = SavingsTable()
    records: RecordsTable = RecordsTable()
    compressors: list[dict[str, Any]] = []
    guards: list[dict[str, Any]] = []
    observers: list[dict[str, Any]] = []
    quality: dict[str, Any] = {}
    file: str | None = Field(default=None, exclude=True)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> Config:
        """Reads a file.

        Raises:
            ConfigError: it cannot be read, is no TOML, or something in it is wrong.
        """
        file = os.fspath(path)
        try:
            with open(file, "rb") as opened:
                data = tomllib.load(opened)
        except FileNotFoundError:
            raise ConfigError("no such file", file=file, fix="Write one with `routekit init`.") from None
        except OSError as error:
            raise ConfigError(f"cannot be read: {error.strerror}", file=file) from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"is no valid TOML: {error}", file=file) from None
        return cls.from_dict(data, file=file)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, file: str | None = None) -> Config:
        """Checks a dictionary of the same shape.

        Raises:
            ConfigError: the first thing that is wrong, with its key and the fix.
        """
        refuse_secrets(data, file)
        try:
            config = cls.model_validate({**data, "file": file})
        except ValidationError as error:
            raise config_error(error, cls, file=file) from None
        check_names(config)
        return config

    @classmethod
    def find(cls, env: Mapping[str, str], start: Path | None = None) -> Config:
        """The file named by ``ROUTEKIT_CONFIG``, else the nearest one upwards, else the keys in the environment.

        Upwards ends at the home directory and at a mount point. A file that was found so must be the user's own.

        Raises:
            ConfigError: something in it is wrong, or it belongs to, or may be changed by, somebody else.
        """
        named = env.get("ROUTEKIT_CONFIG")
        if named:
            return cls.from_file(named)
        here = (start or Path.cwd()).resolve()
        for folder in folders_upwards(here, env):
            file = folder / FILE_NAME
            if file.is_file():
                check_owner(file, found_above=folder != here)
                return cls.from_file(file)
        return cls.from_env(env)

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Config:
        """From the API keys found in the environment, and the local models where there are none."""
        return cls.from_dict({"deployments": deployments_from_env(env)})

    def all_aliases(self) -> dict[str, str]:
        """More names for deployments, models and groups, and what each stands for."""
        return {**{alias: name for name, group in self.groups.items() for alias in group.aliases}, **self.aliases}

    def engine_settings(self) -> EngineSettings:
        """What the engine takes of it."""
        return build.engine_settings(self)

    def to_deployments(self, registry: Registry, catalog: Catalog) -> tuple[Deployment, ...]:
        """The deployments, each with its model's figures and its provider's checked options.

        Raises:
            ConfigError: a key that neither routekit nor the provider knows, or a bad value.
            PluginError: a provider that nobody registered, or that is broken.
        """
        return build.deployments_of(self, registry, catalog)


def named(table: Mapping[str, Any], where: str, file: str | None) -> tuple[str, dict[str, Any]]:
    """The plugin's name (`use`) and the options of a table such as ``[[compressors]]``."""
    use = table.get("use")
    if not isinstance(use, str) or not use:
        raise ConfigError("this key is required", key=f"{where}.use", file=file, fix="Name the plugin to use.")
    return use, {key: value for key, value in table.items() if key != "use"}
