"""What a hook returns: a name, how to make the thing, and how to describe it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from routekit.plugin.options import NoOptions, Options
from routekit.types import Clock, SystemClock

API_VERSION = 1
"""The version of the contracts in this package. A plugin states the one it was written for."""

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginContext:
    """What a factory may use of its surroundings.

    `home` is the state directory (made when first written to), `env` the environment variables,
    `clock` the time, `name` the name under which the thing was configured.
    """

    home: Path
    env: Mapping[str, str] = field(repr=False)
    clock: Clock = field(default_factory=SystemClock)
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin(Generic[T_co]):
    """A registration. `factory(options, context)` makes the thing and does the heavy imports.

    `options` is the pydantic model that its configuration is checked against; `summary` one line
    for people; `api_version` the version of the contracts that it was written for.
    """

    kind: ClassVar[str] = ""

    name: str
    factory: Callable[[Any, PluginContext], T_co]
    options: type[Options] = NoOptions
    summary: str = ""
    api_version: int = API_VERSION
