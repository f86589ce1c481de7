"""Discovery: from installed distributions to a registry."""

from __future__ import annotations

import functools
import importlib
import logging
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import Distribution, EntryPoint, distributions
from typing import Any

import pluggy

from routekit.errors import PluginError, PluginLoadError
from routekit.plugin.hookspecs import HOOKS, PROJECT, RoutekitSpecs
from routekit.plugin.registry import Registry

ENV = "ROUTEKIT_PLUGINS"
DISTRIBUTION = "routekit-llm"
BUILTINS = (
    "routekit.builtin.providers",
    "routekit.builtin.strategies",
    "routekit.builtin.caches",
    "routekit.builtin.compressors",
    "routekit.builtin.budgets",
    "routekit.builtin.guards",
    "routekit.builtin.observers",
    "routekit.builtin.scorers",
)
"""Loaded by name through the same hooks as everybody's: the engine cannot favour them."""

_log = logging.getLogger("routekit.plugins")


def discover(env: Mapping[str, str], extra: Iterable[Any] = ()) -> Registry:
    """A registry of the built-in plugins, the installed ones, and `extra` modules or objects with hooks.

    A plugin that fails stays a recorded failure: it never takes another one down. Where
    ``ROUTEKIT_PLUGINS`` is set, only the entry points or distributions it lists (comma-separated)
    are loaded; an empty value loads none.
    """
    registry = Registry()
    for kind, plugin in _builtins():
        registry.add(kind, plugin, DISTRIBUTION, _own_version())
    wanted = _wanted(env)
    seen: set[tuple[str, str]] = set()
    for label, version, entry in _entry_points() if wanted is None or wanted else ():
        if (label, entry.name) in seen or (wanted is not None and not wanted & {label, entry.name}):
            continue
        seen.add((label, entry.name))
        try:
            module = entry.load()
        except BaseException as error:
            if isinstance(error, (KeyboardInterrupt, GeneratorExit)):
                raise
            _record(registry, entry.name, label, version, f"importing {entry.value} failed", error)
            continue
        _collect(registry, module, entry.name, label, version)
    for module in extra:
        _collect(registry, module, getattr(module, "__name__", repr(module)), "(passed in)", "")
    return registry


def _wanted(env: Mapping[str, str]) -> set[str] | None:
    value = env.get(ENV)
    return None if value is None else {part.strip() for part in value.split(",") if part.strip()}


def _entry_points() -> Sequence[tuple[str, str, EntryPoint]]:
    """The entry points of all installed distributions, with their distribution's name and version.

    Reading them takes tens of milliseconds, so they are read again only where something may have been installed.
    """
    return _read_entry_points(distributions, _installed())


def _installed() -> tuple[object, ...]:
    """Changes where a distribution comes or goes: the folders of `sys.path` with their times, and the finders."""
    places: list[object] = [id(finder) for finder in sys.meta_path]
    for place in sys.path:
        try:
            places.append((place, os.stat(place or ".").st_mtime_ns))
        except OSError:
            places.append(place)
    return tuple(places)


@functools.lru_cache(maxsize=4)
def _read_entry_points(
    find: Callable[[], Iterable[Distribution]], installed: tuple[object, ...]
) -> tuple[tuple[str, str, EntryPoint], ...]:
    found = [
        (distribution.metadata["Name"], distribution.version, entry)
        for distribution in find()
        for entry in distribution.entry_points
        if entry.group == PROJECT
    ]
    return tuple(sorted(found, key=lambda row: (row[0] or "", row[2].name)))


@functools.lru_cache(maxsize=1)
def _builtins() -> tuple[tuple[str, Any], ...]:
    return tuple(pair for name in BUILTINS for pair in _registrations(importlib.import_module(name)))


def _registrations(module: Any) -> list[tuple[str, Any]]:
    """What one plugin's hooks return, on a manager of its own, so that nobody else's failure is its failure."""
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(RoutekitSpecs)
    manager.register(module)
    manager.check_pending()
    found = [
        (kind, plugin)
        for kind, hook in HOOKS.items()
        for registrations in getattr(manager.hook, hook)()
        for plugin in registrations  # a hook written as a generator fails only here
    ]
    for kind, plugin in found:
        if getattr(plugin, "kind", None) != kind or not getattr(plugin, "name", ""):
            raise TypeError(f"{HOOKS[kind]} returned {plugin!r}, which is no named {kind} registration")
    return found


def _collect(registry: Registry, module: Any, name: str, distribution: str, version: str) -> None:
    try:
        found = _registrations(module)
    except Exception as error:
        _record(registry, name, distribution, version, "its hooks failed", error)
        return
    for kind, plugin in found:
        registry.add(kind, plugin, distribution, version)


def _record(registry: Registry, name: str, distribution: str, version: str, what: str, cause: BaseException) -> None:
    error: PluginError = PluginLoadError(f"{what}: {type(cause).__name__}: {cause}", name=name)
    error.__cause__ = cause
    registry.add_failure(name, distribution, version, error)
    _log.warning("plugin %s of %s %s is not available: %s", name, distribution, version, error)


@functools.lru_cache(maxsize=1)
def _own_version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return "(source)"
