"""What no single table can check: names that must exist, and keys that must not stand in a file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from routekit.errors import ConfigError
from routekit.types.suggest import closest

if TYPE_CHECKING:
    from routekit.config import Config


_SECRET_KEYS = re.compile(r"(^|_)(api_?key|secret|token|password|authorization)$", re.IGNORECASE)


_SECRET_VALUES = re.compile(r"^(sk-|sk_|gsk_|xai-|key-|AIza|Bearer )\S{8,}")


def check_names(config: Config) -> None:
    seen: set[str] = set()
    for place, table in enumerate(config.deployments):
        if table.name in seen:
            raise ConfigError(
                f"two deployments are called {table.name!r}", key=f"deployments.{place}.name", file=config.file,
                fix="Give each its own name.",
            )  # fmt: skip
        seen.add(table.name)
    if config.savings.baseline is not None and config.savings.baseline not in seen:
        near = closest(config.savings.baseline, seen)
        raise ConfigError(
            f"no deployment is called {config.savings.baseline!r}", key="savings.baseline", file=config.file,
            fix=f"Did you mean {near!r}?" if near else f"Name one of {', '.join(sorted(seen)) or 'them'}.",
        )  # fmt: skip
    groups = {table.group for table in config.deployments}
    for name in (*config.groups, *([config.router.group] if config.router.group else [])):
        if name not in groups:
            raise ConfigError(
                f"group {name!r} has no deployments", key=f"groups.{name}", file=config.file,
                fix=f"Give a deployment that group, or remove it. Known groups: {', '.join(sorted(groups)) or 'none'}.",
            )  # fmt: skip

    for name, group in config.groups.items():
        for other in group.fallback:
            if other not in groups or other == name:
                raise ConfigError(
                    f"group {name!r} falls back on {other!r}, which is {'itself' if other == name else 'no group'}",
                    key=f"groups.{name}.fallback", file=config.file, fix=f"Known groups: {', '.join(sorted(groups))}.",
                )  # fmt: skip
    named = groups | seen | {table.model for table in config.deployments}
    for alias, meant in config.all_aliases().items():
        if meant not in named or alias in named:
            what = f"stands for {meant!r}, which is no deployment, model or group" if meant not in named else (
                "is a deployment, a model or a group itself"
            )  # fmt: skip
            raise ConfigError(
                f"the alias {alias!r} {what}", key="aliases", file=config.file,
                fix=f"Known names: {', '.join(sorted(named)) or 'none'}.",
            )  # fmt: skip


def refuse_secrets(value: Any, file: str | None, path: tuple[str, ...] = ()) -> None:
    """A key itself never stands in configuration: files are shared, copied and committed."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            here = (*path, str(key))
            if isinstance(inner, str) and inner and (_SECRET_KEYS.search(str(key)) or _SECRET_VALUES.match(inner)):
                raise ConfigError(
                    "a key itself does not belong into configuration", key=".".join(here), file=file,
                    fix='Put it into an environment variable and name that: api_key_env = "MY_API_KEY".',
                )  # fmt: skip
            refuse_secrets(inner, file, here)
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            if isinstance(inner, str) and _SECRET_VALUES.match(inner):
                refuse_secrets({str(place): inner}, file, path)
            refuse_secrets(inner, file, (*path, str(place)))
