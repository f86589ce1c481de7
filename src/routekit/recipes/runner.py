"""Running a recipe: its router, what it requires, and its `run(context)`."""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from rich.console import Console

from routekit.builtin.local_models import weights as local_weights
from routekit.catalog.endpoints import local_deployments
from routekit.config import Config
from routekit.errors import InvalidInputError, RecipeError
from routekit.recipes.arguments import parsed
from routekit.recipes.loader import Recipe
from routekit.router import Router
from routekit.types import Deployment

EXTRAS = {"langchain": "agents", "langgraph": "agents", "xllamacpp": "local", "wordllama": "local", "numpy": "local"}
"""Import names and the extra of routekit-llm that brings them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeContext:
    """What `run` is given.

    `strategy` is the caller's ``--strategy``, None where the recipe is to use its own. `args` are the
    values of the recipe's options. `console` is for people; what `run` returns (plain data, or None)
    is for programs. `folder` is where agent.py lies.
    """

    router: Router
    strategy: str | None
    args: Mapping[str, Any]
    console: Console
    folder: Path

    @property
    def is_local(self) -> bool:
        """Whether local models are all there is: small ones, so a recipe may expect less of them."""
        return all(deployment.provider == "local" for deployment in self.router.deployments)


def run(
    recipe: Recipe,
    *,
    config: str | os.PathLike[str] | None = None,
    local: bool = False,
    strategy: str | None = None,
    args: Sequence[str] = (),
    console: Console | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    plugins: Iterable[Any] = (),
    fetch: Callable[[str], None] | None = None,
) -> Any:
    """Runs a recipe and returns what its agent returns.

    `config` is a file that goes before every other configuration; `local` takes the recipe's own
    deployments whatever is configured. `fetch(name)` is called for each local model whose weights are
    missing; without it that is an error.

    Raises:
        RecipeError: it is broken, or this machine does not meet what it requires.
        InvalidInputError: `args` has an option that it does not have, or a bad value.
        ConfigError, PluginError: the configuration is.
        RoutingError, ProviderError: as its agent let them through.
    """
    environment = os.environ if env is None else env
    values = parsed(recipe, args)
    check_packages(recipe)
    agent = load_agent(recipe)
    plan = config_for(recipe, config=config, local=local, env=environment, cwd=cwd)
    if configure := getattr(agent, "configure", None):
        plan = Config.from_dict(configure(plain(plan)), file=str(recipe.file))
    with Router(plan, env=environment, plugins=plugins) as router:
        if strategy is not None:
            router.resolve_strategy(strategy)
        check_requirements(recipe, router.deployments)
        provide_weights(router.deployments, fetch)
        context = RecipeContext(
            router=router, strategy=strategy, args=values, console=console or Console(), folder=recipe.path
        )
        outcome = agent.run(context)
        return asyncio.run(outcome) if inspect.iscoroutine(outcome) else outcome


def config_for(
    recipe: Recipe,
    *,
    config: str | os.PathLike[str] | None = None,
    local: bool = False,
    env: Mapping[str, str],
    cwd: Path | None = None,
) -> Config:
    """The configuration to run with.

    The deployments are the caller's: those of `config`, of the nearest routekit.toml, or of the API keys
    in the environment. Where there is none of these, or with `local`, they are the recipe's own. The
    recipe's strategies, steps and budgets hold either way; the caller's are added to them.
    """
    own = {"deployments": local_deployments(), **recipe.config}
    if local:
        return Config.from_dict(own, file=str(recipe.file))
    users = Config.from_file(config) if config is not None else Config.find(env, cwd)
    if users.file is None and all(table.provider == "local" for table in users.deployments):
        return Config.from_dict(own, file=str(recipe.file))  # no key was found: nobody configured anything
    return Config.from_dict(_merged(plain(users), recipe.config), file=users.file)


def plain(config: Config) -> dict[str, Any]:
    """A configuration as a dictionary of the file's shape."""
    return config.model_dump(exclude_unset=True, mode="json")


def check_packages(recipe: Recipe) -> None:
    """Raises RecipeError where a package that the recipe requires is not installed."""
    missing = [name for name in recipe.requires.packages if importlib.util.find_spec(name) is None]
    if missing:
        extras = sorted({EXTRAS[name] for name in missing if name in EXTRAS})
        wanted = [f"'routekit-llm[{','.join(extras)}]'"] if extras else []
        wanted += [name for name in missing if name not in EXTRAS]
        raise RecipeError(
            f"recipe {recipe.name!r} needs the package {' and '.join(missing)}; run `pip install {' '.join(wanted)}`"
        )


def check_requirements(recipe: Recipe, deployments: Sequence[Deployment]) -> None:
    """Raises RecipeError where no single deployment meets the recipe's requirements; says what each lacks."""
    lacking = {deployment.name: _lacks(recipe, deployment) for deployment in deployments}
    if not all(lacking.values()):
        return
    needs = [*recipe.requires.capabilities]
    if recipe.requires.context is not None:
        needs.append(f"a context window of {recipe.requires.context} tokens")
    found = "; ".join(f"{name} lacks {', '.join(what)}" for name, what in lacking.items())
    raise RecipeError(
        f"recipe {recipe.name!r} needs a deployment with {', '.join(needs)}, and none has it: {found}. "
        "Add a [[deployments]] table for a model that has it to routekit.toml, set an API key in the environment "
        "(OPENAI_API_KEY, ANTHROPIC_API_KEY, ...), or state what your model can do: "
        f"capabilities = {_toml_list(('chat', 'streaming', *recipe.requires.capabilities))}. "
        "`--local` takes the recipe's own models."
    )


def provide_weights(deployments: Sequence[Deployment], fetch: Callable[[str], None] | None) -> None:
    """Sees to it that the local models are there, where local ones are used.

    Raises:
        RecipeError: the runtime is missing, or weights are and may not be fetched.
    """
    local = [d for d in deployments if d.provider == "local"]
    if not local:
        return
    if importlib.util.find_spec("xllamacpp") is None:
        if len(local) < len(deployments):
            return  # the others answer; the router falls back to them
        raise RecipeError("local models need their runtime; run `pip install 'routekit-llm[local]'`, or set an API key")
    for name in dict.fromkeys(d.model.id for d in local if not d.options.get("path")):
        try:
            found = local_weights.find_weights(name)
        except InvalidInputError as error:
            raise RecipeError(str(error)) from error
        if found is not None:
            continue
        if fetch is None:
            raise RecipeError(f"the weights of {name!r} are not here; run `routekit models pull {name}`")
        fetch(name)


def load_agent(recipe: Recipe) -> ModuleType:
    """The recipe's agent.py as a module.

    Raises:
        RecipeError: it cannot be imported, or has no function `run`.
    """
    name = f"routekit_recipe_{recipe.name.replace('-', '_')}"
    spec = importlib.util.spec_from_file_location(name, recipe.agent)
    if spec is None or spec.loader is None:
        raise RecipeError(f"{recipe.agent}: cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # annotations are looked up there
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise RecipeError(f"{recipe.agent}: importing it failed: {type(error).__name__}: {error}") from error
    if not callable(getattr(module, "run", None)):
        raise RecipeError(f"{recipe.agent}: has no function `run`. Add `def run(context): ...`.")
    return module


def _merged(users: dict[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """The caller's configuration with the recipe's strategies, steps and budgets."""
    merged = dict(users)
    if strategies := {**own.get("strategies", {}), **users.get("strategies", {})}:
        merged["strategies"] = strategies
    for key in ("steps", "budgets"):
        if tables := [*own.get(key, ()), *users.get(key, ())]:
            merged[key] = tables
    default = own.get("router", {}).get("strategy")
    if default is not None and "strategy" not in users.get("router", {}):
        merged["router"] = {**users.get("router", {}), "strategy": default}
    return merged


def _lacks(recipe: Recipe, deployment: Deployment) -> list[str]:
    model, requires = deployment.model, recipe.requires
    lacks = sorted(set(requires.capabilities) - model.capabilities)
    window = model.context_window
    if requires.context is not None and window is not None and window < requires.context:
        lacks.append(f"{requires.context - window} tokens of context")
    return lacks


def _toml_list(values: Sequence[str]) -> str:
    return "[" + ", ".join(f'"{value}"' for value in dict.fromkeys(values)) + "]"
