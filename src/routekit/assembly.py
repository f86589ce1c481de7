"""Configuration becomes living parts: every plugin that a router is made of, checked and constructed."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from routekit.config import Config, named
from routekit.config.tables.compressors import compression_rule
from routekit.engine.settings import CompressionRule
from routekit.errors import ConfigError
from routekit.plugin import Cache, PluginContext, Scorer, secret_at
from routekit.plugin.registry import Registry
from routekit.plugin.secretfile import SECRET_BYTES
from routekit.types import Clock, Deployment

RECORDS = "records"
"""The observer that `routekit spend` reads from."""


class Parts:
    """Makes plugins from their tables. Each call makes new ones, which the caller closes."""

    def __init__(self, config: Config, registry: Registry, *, env: Mapping[str, str], home: Path, clock: Clock) -> None:
        self.config = config
        self.registry = registry
        self.home = home
        self._env = env
        self._clock = clock

    def make(self, kind: str, name: str, options: dict[str, Any], where: str = "") -> Any:
        """The plugin of that kind and name.

        Raises:
            PluginError: it is missing or broken. ConfigError: its options are wrong.
        """
        plugin = self.registry.get(kind, name, also=self.config.strategies if kind == "strategy" else ())
        checked = plugin.options.checked(options, where=where or name, file=self.config.file)
        context = PluginContext(home=self.home, env=self._env, clock=self._clock, name=name)
        return plugin.factory(checked, context)

    def caches(self) -> list[tuple[str, Cache]]:
        """The configured caches, nearest first."""
        options = self.config.cache.model_extra or {}
        return [(name, self.make("cache", name, dict(options.get(name, {})))) for name in self.config.cache.use]

    def compressors(self, deployments: Sequence[Deployment]) -> list[tuple[str, Any, CompressionRule]]:
        """Each with the rule when it runs, which stands in the same table as its options."""
        made: list[tuple[str, Any, CompressionRule]] = []
        for place, table in enumerate(self.config.compressors):
            where = f"compressors.{place}"
            rule, rest = compression_rule(table, deployments, where, self.config.file)
            use, options = named(rest, where, self.config.file)
            made.append((use, self.make("compressor", use, options, where=where), rule))
        return made

    def observers(self, stands_in: bool) -> list[Any]:
        """Those of the configuration, and the records, unless something stands in for the machine."""
        found = self.listed("observer", self.config.observers)
        records = self.config.records
        wanted = not stands_in if records.enabled is None else records.enabled
        if wanted and all(name != RECORDS for name, _ in found):
            found.append((RECORDS, self.make("observer", RECORDS, {"keep_days": records.keep_days})))
        return [observer for _, observer in found]

    def store(self, kind: str, given: str | Mapping[str, Any]) -> Any:
        """What a name, or a table with `use`, in ``[router]`` means."""
        where = f"router.{'budget_store' if kind == 'budget' else kind}"
        use, options = named({"use": given} if isinstance(given, str) else given, where, self.config.file)
        return self.make(kind, use, options, where=where)

    def scorer(self) -> tuple[str, Scorer] | None:
        """What ``[quality]`` means: `use` names the plugin, "learned" where it is absent; the rest are its options."""
        table = dict(self.config.quality)
        if not table:
            return None
        use, options = named({"use": "learned", **table}, "quality", self.config.file)
        if isinstance(options.get("file"), str) and self.config.file is not None:
            options["file"] = str(Path(self.config.file).parent / options["file"])
        return use, self.make("scorer", use, options, where="quality")

    def listed(self, kind: str, tables: Sequence[Mapping[str, Any]]) -> list[tuple[str, Any]]:
        """What a list of tables means, in its order."""
        made: list[tuple[str, Any]] = []
        for place, table in enumerate(tables):
            where = f"{kind}s.{place}"
            use, options = named(table, where, self.config.file)
            made.append((use, self.make(kind, use, options, where=where)))
        return made

    @property
    def cache_secret(self) -> Callable[[], bytes]:
        """Where keys of cached answers get their secret; what it returns does not refer to this router."""
        variable, env, home = self.config.cache.secret_env, self._env, self.home
        alone = all(name == "memory" for name in self.config.cache.use)

        def secret() -> bytes:
            if variable is not None:
                given = env.get(variable, "")
                if len(given) < 16:
                    raise ConfigError(
                        f"the variable {variable} must hold a secret of at least 16 characters", key="cache.secret_env"
                    )
                return given.encode()
            return secrets.token_bytes(SECRET_BYTES) if alone else secret_at(home / "cache" / "tenants")

        return secret
