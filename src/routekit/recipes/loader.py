"""Finding recipes and reading their `recipe.toml`.

    title = "Answers questions about our documents"
    shows = ["a strategy per step", "a budget for the run"]

    [requires]
    capabilities = ["json_schema"]       # one deployment must have all of them
    packages = ["langchain"]             # import names
    context = 4096                       # tokens

    [args.question]                      # routekit recipes run NAME -- --question "..."
    help = "what to ask"
    default = "How do I reset my password?"

    [[deployments]]                      # and every other table of a routekit.toml
    ...

The deployments of a recipe are for machines without a configuration of their own.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

import routekit
from routekit.config import Config
from routekit.errors import ConfigError, RecipeError
from routekit.plugin.options import config_error
from routekit.plugin.registry import Registry
from routekit.types import CAPABILITIES
from routekit.types.suggest import closest

FILE_NAME = "recipe.toml"
AGENT_NAME = "agent.py"
BUILT_IN = "built in"
NAME = re.compile(r"[a-z0-9][a-z0-9-]*")

ArgumentValue = bool | int | float | str


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Requires(_Table):
    """What a recipe needs: a deployment with all `capabilities` and a `context` window, and `packages`."""

    capabilities: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    context: int | None = Field(default=None, ge=1)

    @field_validator("capabilities")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for capability in value:
            if capability not in CAPABILITIES:
                near = closest(capability, CAPABILITIES)
                hint = f"did you mean {near!r}?" if near else f"known: {', '.join(sorted(CAPABILITIES))}"
                raise ValueError(f"unknown capability {capability!r}; {hint}")
        return value


class Argument(_Table):
    """An option of a recipe, ``--NAME``. Its default gives the type; ``false`` makes it a switch."""

    help: str
    default: ArgumentValue = ""

    @field_validator("default")
    @classmethod
    def _off(cls, value: ArgumentValue) -> ArgumentValue:
        if value is True:
            raise ValueError("a switch is off by default; name it the other way round")
        return value


class _RecipeFile(_Table):
    """The keys of `recipe.toml` that are not those of a `routekit.toml`."""

    title: str = Field(min_length=1)
    shows: tuple[str, ...] = Field(min_length=1)
    requires: Requires = Requires()
    args: dict[str, Argument] = {}

    @field_validator("args")
    @classmethod
    def _names(cls, value: dict[str, Argument]) -> dict[str, Argument]:
        for name in value:
            if not NAME.fullmatch(name):
                raise ValueError(f"{name!r} is no name for an option: use small letters, digits and dashes")
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A recipe as its folder describes it.

    `source` says where it was found: "built in", a plugin's distribution, or "folder". `config` holds
    its routekit.toml tables, checked but not yet a router.
    """

    name: str
    path: Path
    source: str
    title: str
    shows: tuple[str, ...]
    requires: Requires
    args: Mapping[str, Argument]
    config: Mapping[str, Any] = field(default_factory=dict)

    @property
    def file(self) -> Path:
        return self.path / FILE_NAME

    @property
    def agent(self) -> Path:
        return self.path / AGENT_NAME

    def to_dict(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return {
            "name": self.name,
            "title": self.title,
            "source": self.source,
            "path": str(self.path),
            "shows": list(self.shows),
            "requires": self.requires.model_dump(mode="json"),
            "args": {name: argument.model_dump() for name, argument in self.args.items()},
            "deployments": [table["name"] for table in self.config.get("deployments", ())],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One line of the list: a recipe, or the reason why it is none."""

    name: str
    source: str
    recipe: Recipe | None = None
    error: RecipeError | None = None


def read(path: Path, *, name: str | None = None, source: str = "folder") -> Recipe:
    """The recipe in a folder.

    Raises:
        RecipeError: a file is missing or something in `recipe.toml` is wrong; names file, key and fix.
    """
    path = path.resolve()
    file = path / FILE_NAME
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecipeError(f"{file}: no such file. A recipe is a folder with {FILE_NAME} and {AGENT_NAME}.") from None
    except OSError as error:
        raise RecipeError(f"{file}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{file}: is no valid TOML: {error}") from None
    if not (path / AGENT_NAME).is_file():
        raise RecipeError(f"{path / AGENT_NAME}: no such file. Write one with a function `run(context)`.")
    try:
        own, config = _split(data, str(file))
    except ConfigError as error:
        raise RecipeError(str(error)) from error
    return Recipe(
        name=name or path.name,
        path=path,
        source=source,
        title=own.title,
        shows=own.shows,
        requires=own.requires,
        args=own.args,
        config=config,
    )


def folders(registry: Registry) -> dict[str, tuple[Path, str]]:
    """Name to folder and source, of the recipes in the box and those of plugins.

    Raises:
        RecipeError: a plugin's recipe has the name of one in the box.
    """
    found: dict[str, tuple[Path, str]] = {}
    home = _box()
    if home is not None:
        for file in sorted(home.glob(f"*/{FILE_NAME}")):
            found[file.parent.name] = (file.parent, BUILT_IN)
    for entry in registry:
        if entry.kind != "recipe" or entry.plugin is None:
            continue
        if entry.name in found:
            raise RecipeError(
                f"two recipes are called {entry.name!r}: the one in the box and that of {entry.distribution}. "
                "Uninstall the latter, or name the plugins to load in ROUTEKIT_PLUGINS."
            )
        found[entry.name] = (Path(entry.plugin.path), f"{entry.distribution} {entry.version}".strip())
    return found


def listed(registry: Registry) -> list[Listed]:
    """Every recipe by name; a broken one with its error, so that it hides no other."""
    rows = []
    for name, (path, source) in sorted(folders(registry).items()):
        try:
            rows.append(Listed(name=name, source=source, recipe=read(path, name=name, source=source)))
        except RecipeError as error:
            rows.append(Listed(name=name, source=source, error=error))
    rows += [
        Listed(name=entry.name, source=entry.distribution, error=RecipeError(str(entry.error)))
        for entry in registry
        if entry.kind == "recipe" and entry.error is not None
    ]
    return rows


def find(name: str, registry: Registry, *, cwd: Path | None = None) -> Recipe:
    """The recipe of that name, or in that folder.

    A name is looked up in the box, in plugins, and last as a folder below the current one.

    Raises:
        RecipeError: there is none, or it is broken.
        PluginError: a plugin's recipe of that name cannot be used.
    """
    here = cwd or Path.cwd()
    place = here / Path(name).expanduser()
    if os.sep in name or (os.altsep and os.altsep in name) or name.startswith("."):
        return read(place)
    known = folders(registry)
    if name in known:
        path, source = known[name]
        return read(path, name=name, source=source)
    if any(entry.kind == "recipe" and entry.name == name for entry in registry):
        registry.get("recipe", name)  # raises with the cause: it was found, and is broken
    if (place / FILE_NAME).is_file():
        return read(place)
    near = closest(name, known)
    hint = f"did you mean {near!r}? " if near else ""
    raise RecipeError(
        f"no recipe is called {name!r}; {hint}known: {', '.join(sorted(known)) or 'none'}. "
        f"The path of a folder with {FILE_NAME} works as well."
    )


def _split(data: dict[str, Any], file: str) -> tuple[_RecipeFile, dict[str, Any]]:
    """A recipe file's own keys, and its routekit.toml tables, both checked."""
    config_keys = set(Config.model_fields) - {"file"}
    own_keys = set(_RecipeFile.model_fields)
    for key in data:
        if key not in config_keys | own_keys:
            near = closest(key, config_keys | own_keys)
            fix = f"Did you mean {near!r}?" if near else f"Known keys: {', '.join(sorted(config_keys | own_keys))}"
            raise ConfigError("unknown key", key=key, file=file, fix=fix)
    config = {key: value for key, value in data.items() if key in config_keys}
    Config.from_dict(config, file=file)
    try:
        own = _RecipeFile.model_validate({key: value for key, value in data.items() if key in own_keys})
    except ValidationError as error:
        raise config_error(error, _RecipeFile, file=file) from None
    return own, config


def _box() -> Path | None:
    """Where the recipes of this distribution are: inside the wheel, or in the checkout's root."""
    package = Path(routekit.__file__).resolve().parent
    checkout = package.parents[1]
    for folder in (package / "recipes" / "bundled", checkout / "recipes"):
        if folder.is_dir() and (folder.name == "bundled" or (checkout / "pyproject.toml").is_file()):
            return folder
    return None
