"""Name to plugin, per kind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from routekit.errors import (
    PluginConflictError,
    PluginError,
    PluginLoadError,
    PluginNotFoundError,
    PluginVersionError,
)
from routekit.plugin.hookspecs import HOOKS
from routekit.plugin.registration import API_VERSION
from routekit.types.suggest import closest


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """A registration, or its failure, and where it came from.

    `state` is "ok", "failed" or "conflict" or "version"; `error` says why it is not "ok".
    """

    kind: str
    name: str
    distribution: str
    version: str
    plugin: Any = None
    error: PluginError | None = None

    @property
    def state(self) -> str:
        if self.error is None:
            return "ok"
        if isinstance(self.error, PluginConflictError):
            return "conflict"
        return "version" if isinstance(self.error, PluginVersionError) else "failed"


class Registry:
    """All plugins that were found. Built once; looking something up costs a dictionary access."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], Registered] = {}
        self._failures: list[Registered] = []

    def add(self, kind: str, plugin: Any, distribution: str, version: str) -> None:
        """Records a registration; a second one of the same kind and name makes both a conflict."""
        key = (kind, plugin.name)
        error: PluginError | None = None
        if plugin.api_version != API_VERSION:
            error = PluginVersionError(
                f"{kind} {plugin.name!r} of {distribution} {version} was written for plugin API "
                f"{plugin.api_version}; this routekit speaks {API_VERSION}. Install a release of it that matches.",
                kind=kind,
                name=plugin.name,
            )
        elif (other := self._found.get(key)) is not None:
            error = PluginConflictError(
                f"two plugins register the {kind} {plugin.name!r}: {other.distribution} {other.version} and "
                f"{distribution} {version}. Uninstall one, or name the plugins to load in ROUTEKIT_PLUGINS.",
                kind=kind,
                name=plugin.name,
            )
        self._found[key] = Registered(
            kind=kind, name=plugin.name, distribution=distribution, version=version,
            plugin=None if error else plugin, error=error,
        )  # fmt: skip

    def add_failure(self, name: str, distribution: str, version: str, error: PluginError) -> None:
        """Records an entry point that could not be loaded."""
        self._failures.append(Registered(kind="?", name=name, distribution=distribution, version=version, error=error))

    def get(self, kind: str, name: str, also: Iterable[str] = ()) -> Any:
        """The registration. `also` are further names to tell where there is none.

        Raises:
            PluginNotFoundError, PluginConflictError, PluginVersionError, PluginLoadError
        """
        found = self._found.get((kind, name))
        if found is None:
            raise self._not_found(kind, name, also)
        if found.error is not None:
            raise found.error
        return found.plugin

    def names(self, kind: str) -> list[str]:
        """The usable names of a kind, sorted."""
        return sorted(name for (k, name), found in self._found.items() if k == kind and found.error is None)

    def __iter__(self) -> Iterator[Registered]:
        """Everything, failures last, in a stable order."""
        order = list(HOOKS)
        yield from sorted(self._found.values(), key=lambda found: (order.index(found.kind), found.name))
        yield from self._failures

    def _not_found(self, kind: str, name: str, also: Iterable[str]) -> PluginError:
        for failure in self._failures:
            if name in (failure.name, failure.distribution) and failure.error is not None:
                return PluginLoadError(
                    f"{kind} {name!r} could come from {failure.distribution} {failure.version}, which failed to "
                    f"load: {failure.error}",
                    kind=kind,
                    name=name,
                )
        known = sorted({*self.names(kind), *also})
        near = closest(name, known)
        hint = f"did you mean {near!r}? " if near else ""
        failed = ", ".join(sorted({f.distribution for f in self._failures}))
        broken = f" Plugins that failed to load: {failed} (see `routekit plugins`)." if failed else ""
        return PluginNotFoundError(
            f"no {kind} is called {name!r}; {hint}known: {', '.join(known) or 'none'}.{broken}", kind=kind, name=name
        )
