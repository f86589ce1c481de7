"""routekit.toml: its shape, where it is found, and how it becomes frozen types."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from routekit.catalog.catalog import Catalog
from routekit.catalog.endpoints import deployments_from_env
from routekit.config.tables.budgets import SCOPE_KINDS, BudgetTable, PriceTable
from routekit.config.trust import check_owner, folders_upwards
from routekit.engine.attempts.answer_checks import DEFAULT, AnswerPolicy
from routekit.engine.settings import (
    CARRIED_SCOPES,
    EngineSettings,
    OnBadRequest,
    OnInterrupt,
    Reuse,
    UnknownPrice,
)
from routekit.errors import ConfigError, InvalidInputError
from routekit.plugin import Options, Strategy
from routekit.plugin.options import config_error
from routekit.plugin.registry import Registry
from routekit.types import CAPABILITIES, Deployment, Limits
from routekit.types.sending import LIMITS, UNDROPPABLE

FILE_NAME = "routekit.toml"
_SECRET_KEYS = re.compile(r"(^|_)(api_?key|secret|token|password|authorization)$", re.IGNORECASE)
_SECRET_VALUES = re.compile(r"^(sk-|sk_|gsk_|xai-|key-|AIza|Bearer )\S{8,}")


def _is_strategy(value: Any) -> Any:
    if not isinstance(value, (str, Mapping, Strategy)):
        raise ValueError("a strategy is a name, a table with `use`, or in Python an instance")
    return value


StrategySpec = Annotated[Any, AfterValidator(_is_strategy)]
"""A strategy's name, a table with `use` and options, or (in a dictionary) an instance."""


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class RouterTable(_Table):
    """``[router]``: defaults of every request. `deadline_s` is in seconds, 0 means none.

    `budget_store` is the name of the plugin that keeps the balances, or a table with `use` and its
    options. `shared` names, in the same way, the plugin by which several machines keep limits and
    ejections together. What is held for a call whose process was killed comes to an end `lease_margin_s`
    seconds after the call's deadline, and after `lease_s` seconds where it has none.
    """

    strategy: StrategySpec = "cheapest"
    group: str | None = None
    deadline_s: float | None = Field(default=120.0, ge=0)
    max_attempts: int = Field(default=3, ge=1, le=10)
    max_cost_usd: float | None = Field(default=None, ge=0)
    unknown_price: UnknownPrice = "refuse"
    output_limit: int = Field(default=4096, ge=1)
    budget_store: str | dict[str, Any] = "ledger"
    lease_s: float = Field(default=600.0, ge=1, le=86_400)
    lease_margin_s: float = Field(default=5.0, ge=0.1, le=3_600)
    shared: str | dict[str, Any] | None = None


class LimitsTable(_Table):
    """What a deployment takes: requests and tokens per minute, calls at once."""

    rpm: int | None = Field(default=None, ge=1)
    tpm: int | None = Field(default=None, ge=1)
    concurrency: int | None = Field(default=None, ge=1)


class DeploymentTable(BaseModel):
    """``[[deployments]]``. Keys that are not listed here belong to the provider and are checked against its options."""

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)

    name: str = Field(min_length=1)
    provider: str
    model: str
    group: str = "default"
    quality: float | None = Field(default=None, ge=0, le=1)
    price: PriceTable | None = None
    limits: LimitsTable = LimitsTable()
    region: str | None = None
    retention: str | None = None
    weight: float = Field(default=1.0, ge=0)
    tags: list[str] = []
    context_window: int | None = Field(default=None, ge=1)
    max_output: int | None = Field(default=None, ge=1)
    price_of: str | None = None
    capabilities: list[str] | None = None
    drop_params: bool | list[str] = []
    rename_params: dict[str, str] = {}
    options: dict[str, Any] = {}

    @field_validator("drop_params")
    @classmethod
    def _droppable(cls, value: bool | list[str]) -> bool | list[str]:
        for name in value if isinstance(value, list) else ():
            if name in UNDROPPABLE:
                raise ValueError(
                    f"{name!r} cannot be left out: what a call may cost, or what it asks, would be another. "
                    "rename_params can send it under another name"
                )
        return value

    @field_validator("rename_params")
    @classmethod
    def _renamable(cls, value: dict[str, str]) -> dict[str, str]:
        for old, new in value.items():
            if (old in LIMITS) != (new in LIMITS) or {old, new} & (UNDROPPABLE - set(LIMITS)):
                raise ValueError(f"{old!r} cannot be sent as {new!r}: what a call may cost would be another")
        return value

    @field_validator("capabilities")
    @classmethod
    def _known(cls, value: list[str] | None) -> list[str] | None:
        for capability in value or ():
            if capability not in CAPABILITIES:
                raise ValueError(f"unknown capability {capability!r}; known: {', '.join(sorted(CAPABILITIES))}")
        return value


class WhenTable(_Table):
    """Conditions of a ``[[steps]]`` rule; all that are given must hold."""

    kind: str | list[str] | None = None
    node: str | list[str] | None = None
    tags: list[str] = []
    after_tool_error: bool | None = None


class StepTable(_Table):
    """``[[steps]]``: which strategy serves which step of an agent. The first match wins."""

    when: WhenTable
    strategy: StrategySpec


class GroupTable(_Table):
    """``[groups.NAME]``: what holds for one group of deployments.

    `fallback` has the groups that are asked behind it, in order; `aliases` are more names for it, as callers may
    have them in their code.
    """

    strategy: StrategySpec | None = None
    fallback: list[str] = []
    aliases: list[str] = []


class CacheTable(BaseModel):
    """``[cache]``: tiers, nearest first. ``[cache.NAME]`` holds the options of the tier NAME.

    `scope` has the kinds of scopes (one or several) whose values are tenants: nobody gets another one's answers,
    and a call that names a project and a user gets its own; "global" is one tenant for all. Of a kind of your own,
    calls that name none are not cached. `reuse` says whose answers are as good: those of the same group (or model)
    asked for under the same "strategy", under any strategy ("group"), or only those of the very model that would be
    asked first now ("model").
    `nondeterministic` caches requests with a temperature too, `tool_calls` answers that call tools.
    Entries live for `ttl_s` seconds, less up to the share `jitter`, so that they do not all end at once;
    for `stale_s` seconds more they are still given, while a new answer is made in the background.
    `secret_env` names a variable with the secret that keys are made with, for caches on several machines.
    """

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)

    use: list[str] = []
    ttl_s: float | None = Field(default=3600.0, gt=0)
    scope: list[str] | str | None = ["project", "user"]
    nondeterministic: bool = False
    tool_calls: bool = False
    reuse: Reuse = "strategy"
    jitter: float = Field(default=0.1, ge=0, le=0.5)
    stale_s: float = Field(default=0.0, ge=0)
    secret_env: str | None = None

    @field_validator("scope")
    @classmethod
    def _kinds(cls, value: list[str] | str | None) -> list[str] | str | None:
        for kind in [value] if isinstance(value, str) else value or ():
            if kind in CARRIED_SCOPES or (kind == "global" and value in ("global", ["global"])):
                continue
            near = difflib.get_close_matches(kind, CARRIED_SCOPES, n=1, cutoff=0.6)
            known = ", ".join(CARRIED_SCOPES)
            if near or kind in SCOPE_KINDS or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", kind):
                hint = f"did you mean {near[0]!r}?" if near else f"known: {known}, or a kind of your own"
                raise ValueError(f"{kind!r} is not a kind of scope that a call names a tenant with; {hint}")
        return value

    @property
    def scopes(self) -> tuple[str, ...]:
        """The kinds in order, each once."""
        kinds = [self.scope] if isinstance(self.scope, str) else self.scope or ()
        return tuple(kind for kind in dict.fromkeys(kinds) if kind != "global")

    @model_validator(mode="after")
    def _tiers(self) -> Self:
        known = [*type(self).model_fields, *self.use]
        for key, value in (self.model_extra or {}).items():
            if key not in self.use or not isinstance(value, dict):
                near = difflib.get_close_matches(key, known, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
                raise ValueError(f"unknown key {key!r}; {hint}")
        return self


class ReliabilityTable(_Table):
    """``[reliability]``: when a stream is given up, and what happens then. Times are seconds.

    `first_token_s`, `idle_s` and `min_tokens_per_s` bound the wait for the first content, the gap
    between two pieces and the pace (tokens a second over ten seconds). Without them the first two
    follow each deployment's own percentiles, and the pace is free. `on_interrupt` says what follows
    when a stream breaks after content was handed over. `warm_up_tokens` are held back before a
    stream is committed, so that what they show can still be refused. `fall_back_on` names the kinds
    of answers that are none. `hedge` asks a second deployment where the first is unusually slow,
    after `hedge_after_s` (None: its p95), for at most `hedge_share` of what was spent.
    `wait_for_recovery_s` is how long a request waits where everybody is ejected; `queue` how many
    may wait where everybody is at a limit. `on_bad_request` says whether a refusal (400, 413, 422) that nobody
    can classify asks one deployment of another model or vendor ("next") or is surfaced at once ("surface").
    """

    first_token_s: float | None = Field(default=None, gt=0)
    idle_s: float | None = Field(default=None, gt=0)
    min_tokens_per_s: float | None = Field(default=None, gt=0)
    on_interrupt: OnInterrupt = "error"
    warm_up_tokens: int = Field(default=0, ge=0)
    fall_back_on: list[str] = sorted(DEFAULT)
    hedge: bool = False
    hedge_after_s: float | None = Field(default=None, ge=0)
    hedge_share: float = Field(default=0.05, gt=0, le=0.05)
    wait_for_recovery_s: float = Field(default=0.5, ge=0)
    queue: int = Field(default=100, ge=0)
    on_bad_request: OnBadRequest = "next"

    @field_validator("fall_back_on")
    @classmethod
    def _kinds(cls, value: list[str]) -> list[str]:
        AnswerPolicy(value)
        return value


class SavingsTable(_Table):
    """``[savings]``: `baseline` is the deployment that calls are compared with; by default the best that would do."""

    baseline: str | None = None


class RecordsTable(_Table):
    """``[records]``: one record per request, for `routekit spend` and `routekit report`; figures, never messages.

    On by default; off where a program stands in for the machine (`Router(env=..., providers=...)`).
    """

    enabled: bool | None = None
    keep_days: float = Field(default=90, gt=0)


class Config(_Table):
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
        _refuse_secrets(data, file)
        try:
            config = cls.model_validate({**data, "file": file})
        except ValidationError as error:
            raise config_error(error, cls, file=file) from None
        _check_names(config)
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
        return EngineSettings(
            max_attempts=self.router.max_attempts,
            output_limit=self.router.output_limit,
            unknown_price=self.router.unknown_price,
            lease_s=self.router.lease_s,
            lease_margin_s=self.router.lease_margin_s,
            baseline=self.savings.baseline,
            cache_ttl_s=self.cache.ttl_s,
            cache_scope=self.cache.scopes,
            cache_nondeterministic=self.cache.nondeterministic,
            cache_tool_calls=self.cache.tool_calls,
            cache_reuse=self.cache.reuse,
            cache_jitter=self.cache.jitter,
            cache_stale_s=self.cache.stale_s,
            **self.reliability.model_dump(exclude={"fall_back_on"}),
        )

    def to_deployments(self, registry: Registry, catalog: Catalog) -> tuple[Deployment, ...]:
        """The deployments, each with its model's figures and its provider's checked options.

        Raises:
            ConfigError: a key that neither routekit nor the provider knows, or a bad value.
            PluginError: a provider that nobody registered, or that is broken.
        """
        return tuple(self._deployment(place, table, registry, catalog) for place, table in enumerate(self.deployments))

    def _deployment(self, place: int, table: DeploymentTable, registry: Registry, catalog: Catalog) -> Deployment:
        where = f"deployments.{place}"
        plugin = registry.get("provider", table.provider)
        given = {**table.options, **(table.model_extra or {})}
        if isinstance(table.drop_params, bool):  # an option of the provider's own
            given["drop_params"] = table.drop_params
        options = _provider_options(plugin.options, given, where, self.file)
        try:
            model = catalog.model_for(
                table.model,
                provider=table.provider,
                base_url=given.get("base_url"),
                price=table.price.to_price() if table.price else None,
                context_window=table.context_window,
                max_output=table.max_output,
                capabilities=table.capabilities,
                options=given,
                like=table.price_of,
            )
        except InvalidInputError as error:
            raise ConfigError(str(error), key=where, file=self.file) from None
        return Deployment(
            name=table.name,
            provider=table.provider,
            model=model,
            group=table.group,
            region=table.region,
            retention=table.retention,
            limits=Limits(rpm=table.limits.rpm, tpm=table.limits.tpm, concurrency=table.limits.concurrency),
            weight=table.weight,
            tags=frozenset(table.tags),
            quality=table.quality,
            drop_params=frozenset(() if isinstance(table.drop_params, bool) else table.drop_params),
            rename_params=table.rename_params,
            quality_source="configuration" if table.quality is not None else "inferred from the price rank",
            options=options,
        )


def named(table: Mapping[str, Any], where: str, file: str | None) -> tuple[str, dict[str, Any]]:
    """The plugin's name (`use`) and the options of a table such as ``[[compressors]]``."""
    use = table.get("use")
    if not isinstance(use, str) or not use:
        raise ConfigError("this key is required", key=f"{where}.use", file=file, fix="Name the plugin to use.")
    return use, {key: value for key, value in table.items() if key != "use"}


def home_of(env: Mapping[str, str]) -> Path:
    """The state directory: ``ROUTEKIT_HOME``, or the platform's own place for state."""
    given = env.get("ROUTEKIT_HOME")
    if given:
        return Path(given).expanduser()
    from platformdirs import user_state_path

    return user_state_path("routekit", appauthor=False)


def _provider_options(options: type[Options], given: dict[str, Any], where: str, file: str | None) -> dict[str, Any]:
    for key in given:
        known = [field.alias or name for name, field in options.model_fields.items()]
        if key not in known:
            everything = [*known, *(k for k in DeploymentTable.model_fields if k != "options")]
            near = difflib.get_close_matches(key, everything, n=1)
            fix = f"Did you mean {near[0]!r}?" if near else f"Known keys: {', '.join(sorted(everything))}"
            raise ConfigError("unknown key", key=f"{where}.{key}", file=file, fix=fix)
    checked = options.checked(given, where=where, file=file)
    return checked.model_dump(exclude_unset=True)


def _check_names(config: Config) -> None:
    seen: set[str] = set()
    for place, table in enumerate(config.deployments):
        if table.name in seen:
            raise ConfigError(
                f"two deployments are called {table.name!r}", key=f"deployments.{place}.name", file=config.file,
                fix="Give each its own name.",
            )  # fmt: skip
        seen.add(table.name)
    if config.savings.baseline is not None and config.savings.baseline not in seen:
        near = difflib.get_close_matches(config.savings.baseline, seen, n=1)
        raise ConfigError(
            f"no deployment is called {config.savings.baseline!r}", key="savings.baseline", file=config.file,
            fix=f"Did you mean {near[0]!r}?" if near else f"Name one of {', '.join(sorted(seen)) or 'them'}.",
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


def _refuse_secrets(value: Any, file: str | None, path: tuple[str, ...] = ()) -> None:
    """A key itself never stands in configuration: files are shared, copied and committed."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            here = (*path, str(key))
            if isinstance(inner, str) and inner and (_SECRET_KEYS.search(str(key)) or _SECRET_VALUES.match(inner)):
                raise ConfigError(
                    "a key itself does not belong into configuration", key=".".join(here), file=file,
                    fix='Put it into an environment variable and name that: api_key_env = "MY_API_KEY".',
                )  # fmt: skip
            _refuse_secrets(inner, file, here)
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            if isinstance(inner, str) and _SECRET_VALUES.match(inner):
                _refuse_secrets({str(place): inner}, file, path)
            _refuse_secrets(inner, file, (*path, str(place)))
