"""Discovery: from installed distributions to a registry."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterable, Mapping
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
    for name in BUILTINS:
        _collect(registry, importlib.import_module(name), name, DISTRIBUTION, _own_version())
    wanted = _wanted(env)
    seen: set[tuple[str, str]] = set()
    for distribution, entry in _entry_points():
        label, version = distribution.metadata["Name"], distribution.version
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


def _entry_points() -> Iterable[tuple[Distribution, EntryPoint]]:
    found = [
        (distribution, entry)
        for distribution in distributions()
        for entry in distribution.entry_points
        if entry.group == PROJECT
    ]
    return sorted(found, key=lambda pair: (pair[0].metadata["Name"] or "", pair[1].name))


def _collect(registry: Registry, module: Any, name: str, distribution: str, version: str) -> None:
    """Runs one plugin's hooks on a manager of its own, so that nobody else's failure is its failure."""
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(RoutekitSpecs)
    try:
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


def _own_version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return "(source)"
