"""What can be wrong with a configuration and with the machine it runs on; shared by `doctor` and `config check`.

Each check is a generator of findings. Those that look at the machine say so in their first line;
the others are functions of their arguments.
"""

from __future__ import annotations

import os
import stat
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from importlib import util
from pathlib import Path
from typing import Any

from routekit.cli.checks.finding import Finding, counted, listed
from routekit.cli.checks.money import budgets_enforceable
from routekit.config import Config
from routekit.config.tables.deployments import DeploymentTable
from routekit.errors import ConfigError, RoutekitError
from routekit.plugin.registry import Registry
from routekit.types import Deployment

OLDEST_PYTHON = (3, 11)
SECRET_HEADER_PREFIX = "$"  # noqa: S105  # how headers name a variable, no secret


def python_version(version: tuple[int, ...] = tuple(sys.version_info[:3])) -> Iterator[Finding]:
    """Whether this Python is new enough."""
    shown = ".".join(map(str, version))
    if version < OLDEST_PYTHON:
        wanted = ".".join(map(str, OLDEST_PYTHON))
        yield Finding(
            level="error",
            subject="python",
            problem=f"Python {shown} is too old",
            fix=f"Install Python {wanted} or later.",
        )
    else:
        yield Finding(level="ok", subject="python", problem=f"Python {shown}")


def configuration_found(config: Config) -> Iterator[Finding]:
    """Where the configuration came from."""
    count = counted(len(config.deployments), "deployment")
    if config.file:
        yield Finding(level="ok", subject="configuration", problem=f"{config.file}: {count}")
    else:
        yield Finding(
            level="ok",
            subject="configuration",
            problem=f"no routekit.toml here or above; {count} made from the environment and the local models",
            fix="`routekit init` writes a file to start from.",
        )


def broken(error: RoutekitError) -> Finding:
    """A configuration that cannot be used, from the error that says so."""
    if isinstance(error, ConfigError):
        where = ": ".join(part for part in (error.file, error.key) if part)
        return Finding(
            level="error",
            subject="configuration",
            problem=f"{where}: {error.problem}" if where else error.problem,
            fix=error.fix or "Correct that key.",
        )
    return Finding(
        level="error",
        subject="configuration",
        problem=str(error),
        fix="Correct the name or install the plugin; `routekit plugins` lists those that are there.",
    )


def plugins_usable(registry: Registry) -> Iterator[Finding]:
    """Plugins that failed to load, clash, or were written for another version."""
    bad = [found for found in registry if found.state != "ok"]
    for found in bad:
        what = found.name if found.kind == "?" else f"{found.kind} {found.name}"
        fix = {
            "conflict": "Uninstall one of them, or name the plugins to load in ROUTEKIT_PLUGINS.",
            "version": f"Install a release of {found.distribution} that matches this routekit.",
        }.get(found.state, f"Reinstall or uninstall {found.distribution}, or leave it out with ROUTEKIT_PLUGINS.")
        yield Finding(
            level="warning",
            subject="plugins",
            problem=f"{what} of {found.distribution} {found.version} cannot be used: {found.error}",
            fix=fix,
        )
    if not bad:
        yield Finding(level="ok", subject="plugins", problem=f"{counted(len(list(registry)), 'plugin')}, all usable")


def variables_set(config: Config, env: Mapping[str, str]) -> Iterator[Finding]:
    """Whether the variables that the configuration names hold something. Their values are never looked at further."""
    named: dict[str, list[str]] = defaultdict(list)
    for table in config.deployments:
        for variable in _variables(table):
            named[variable].append(table.name)
    for variable, deployments in named.items():
        if not env.get(variable, "").strip():
            yield Finding(
                level="error",
                subject="keys",
                problem=f"{variable} is not set; needed by {listed(deployments)}",
                fix=f"Set it in the environment (export {variable}=...), or remove what needs it.",
            )
        else:
            yield Finding(level="ok", subject="keys", problem=f"{variable} is set; used by {listed(deployments)}")


def semantic_cache(config: Config) -> Iterator[Finding]:
    """Looks at what the semantic cache needs of this machine, where it is configured."""
    from routekit.builtin.local_models.sentence import MODEL, find_sentence_weights

    if "semantic" not in config.cache.use:
        return
    subject = "semantic cache"
    options = (config.cache.model_extra or {}).get("semantic", {})
    missing = [name for name in ("numpy", "snowballstemmer") if util.find_spec(name) is None]
    if options.get("embedder") is None:
        missing += [
            name for name in ("onnxruntime", "onnx", "tokenizers", "safetensors") if util.find_spec(name) is None
        ]
        if find_sentence_weights() is None:
            yield Finding(
                level="error", subject=subject, problem=f"the weights of {MODEL} are not on this machine",
                fix=f"Run `routekit models pull {MODEL}`, or name an `embedder` in [cache.semantic].",
            )  # fmt: skip
    if missing:
        yield Finding(
            level="error", subject=subject, problem=f"packages are not installed: {', '.join(missing)}",
            fix="Run pip install 'routekit-llm[semantic]'.",
        )  # fmt: skip
    elif options.get("embedder") is not None or find_sentence_weights() is not None:
        yield Finding(level="ok", subject=subject, problem="it has what it needs")


def local_models(config: Config) -> Iterator[Finding]:
    """Looks at this machine: runtime and weights of the local models that are configured."""
    from routekit.builtin.local_models.weights import find_weights, known_models

    local = [table for table in config.deployments if table.provider == "local"]
    if not local:
        return
    who = listed([table.name for table in local])
    if util.find_spec("xllamacpp") is None:
        yield Finding(
            level="error",
            subject="local models",
            problem=f"the runtime xllamacpp is not installed; needed by {who}",
            fix="Run pip install 'routekit-llm[local]'.",
        )
    else:
        yield Finding(level="ok", subject="local models", problem="the runtime xllamacpp is installed")
    known = {model.name for model in known_models()}
    for name in dict.fromkeys(table.model for table in local if not _option(table, "path")):
        if name not in known:
            yield Finding(
                level="error",
                subject="local models",
                problem=f"nobody knows a local model {name!r}",
                fix=f"Use one of {', '.join(sorted(known))}, or give the deployment a path to a GGUF file.",
            )
        elif find_weights(name) is None:
            yield Finding(
                level="error",
                subject="local models",
                problem=f"the weights of {name} are not on this machine",
                fix=f"Run `routekit models pull {name}`.",
            )
        else:
            yield Finding(level="ok", subject="local models", problem=f"the weights of {name} are here")
    for table in local:
        path = _option(table, "path")
        if path and not Path(str(path)).expanduser().is_file():
            yield Finding(
                level="error",
                subject="local models",
                problem=f"deployment {table.name}: there is no file {path}",
                fix="Correct `path`.",
            )


def state_directory(home: Path) -> Iterator[Finding]:
    """Looks at this machine: whether state can be kept, and by nobody else read."""
    subject = "state directory"
    if home.exists() and not home.is_dir():
        yield Finding(
            level="error", subject=subject, problem=f"{home} is no directory", fix="Point ROUTEKIT_HOME to a directory."
        )
        return
    nearest = next(place for place in (home, *home.absolute().parents) if place.exists())
    if not os.access(nearest, os.W_OK | os.X_OK):
        yield Finding(
            level="error",
            subject=subject,
            problem=f"{home} cannot be written",
            fix="Point ROUTEKIT_HOME to a directory of your own, or change its owner.",
        )
    elif nearest != home:
        yield Finding(level="ok", subject=subject, problem=f"{home} does not exist yet and will be made when needed")
    elif os.name == "posix" and (mode := stat.S_IMODE(home.stat().st_mode)) & 0o077:
        yield Finding(
            level="warning",
            subject=subject,
            problem=f"{home} has mode {mode:04o}: other users may read what is kept there",
            fix=f"Run chmod 700 {home}.",
        )
    else:
        yield Finding(level="ok", subject=subject, problem=f"{home} is writable and private")


def groups_served(config: Config, deployments: Sequence[Deployment]) -> Iterator[Finding]:
    """Groups without a second choice, groups that nothing leads to, and deployments that are switched off."""
    groups: dict[str, list[Deployment]] = defaultdict(list)
    for deployment in deployments:
        groups[deployment.group].append(deployment)
    for name, members in groups.items():
        active = [deployment for deployment in members if deployment.weight > 0]
        if not active:
            yield Finding(
                level="error",
                subject="groups",
                problem=f"every deployment of group {name} is switched off (weight = 0)",
                fix="Give one of them a weight.",
            )
        elif len(active) == 1:
            yield Finding(
                level="warning",
                subject="groups",
                problem=f"group {name} has one deployment, {active[0].name}: when it fails, nobody takes over",
                fix="Add a second deployment to the group.",
            )
        elif (place := _shared_place(config, active)) is not None:
            yield Finding(
                level="warning",
                subject="groups",
                problem=f"all {len(active)} deployments of group {name} depend on {place}: they fail together",
                fix="Add a deployment of another provider to the group.",
            )
        else:
            yield Finding(level="ok", subject="groups", problem=f"group {name}: {counted(len(active), 'deployment')}")
    for name in _unreached(config, groups):
        yield Finding(
            level="warning",
            subject="groups",
            problem=f"nothing leads to group {name}: only calls that name it (model or group) use it",
            fix=f"Name it in a strategy or a step, describe it in [groups.{name}], or remove it.",
        )


def time_limited(config: Config) -> Iterator[Finding]:
    """Whether requests end."""
    if not config.router.deadline_s:
        yield Finding(
            level="warning",
            subject="deadline",
            problem="router.deadline_s is 0: a request may wait forever",
            fix="Set deadline_s to the seconds that a caller will wait, such as 60.",
        )
    else:
        yield Finding(level="ok", subject="deadline", problem=f"requests end after {config.router.deadline_s:g} s")


def of_configuration(config: Config, deployments: Sequence[Deployment]) -> Iterator[Finding]:
    """Every check that needs nothing but a configuration that can be used."""
    yield from groups_served(config, deployments)
    yield from budgets_enforceable(config, deployments)
    yield from time_limited(config)


def base_url_of(table: DeploymentTable) -> str | None:
    """Where a deployment is called, as far as the configuration says."""
    url = _option(table, "base_url") or _option(table, "api_base")
    return url if isinstance(url, str) and url else None


def _option(table: DeploymentTable, key: str) -> Any:
    return {**table.options, **(table.model_extra or {})}.get(key)


def _variables(table: DeploymentTable) -> Iterator[str]:
    """The variables that a deployment's options name: the key's, and those of headers."""
    variable = _option(table, "api_key_env")
    if isinstance(variable, str) and variable:
        yield variable
    headers = _option(table, "headers")
    for value in headers.values() if isinstance(headers, Mapping) else ():
        if isinstance(value, str) and value.startswith(SECRET_HEADER_PREFIX):
            yield value.removeprefix(SECRET_HEADER_PREFIX)


def _shared_place(config: Config, members: Sequence[Deployment]) -> str | None:
    """The one host or vendor that all of them depend on, or None. Models on this machine do not count."""
    tables = {table.name: table for table in config.deployments}
    places = set()
    for deployment in members:
        url = base_url_of(tables[deployment.name])
        vendor, _, rest = deployment.model.id.partition("/")
        places.add(url.partition("://")[2].partition("/")[0] if url else vendor if rest else deployment.provider)
    (place,) = places if len(places) == 1 else (None,)
    return None if place == "local" else place


def _unreached(config: Config, groups: Mapping[str, Any]) -> list[str]:
    start = config.router.group or ("default" if "default" in groups else None)
    if start is None:  # without a default group everybody is a candidate
        return []
    named = {start, *config.groups}
    said: list[Any] = [config.strategies, config.router.strategy, config.guards]
    said += [step.strategy for step in config.steps]
    said += [group.strategy for group in config.groups.values()]
    for value in said:
        named.update(_texts(value))
    return [name for name in groups if name not in named]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _texts(inner)
