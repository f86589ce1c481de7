"""A configuration as what the engine takes: its settings, and frozen deployments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from routekit.catalog.catalog import Catalog
from routekit.config.tables.deployments import DeploymentTable
from routekit.engine.settings import EngineSettings
from routekit.errors import ConfigError, InvalidInputError
from routekit.plugin import Options
from routekit.plugin.registry import Registry
from routekit.types import Deployment, Limits
from routekit.types.suggest import closest

if TYPE_CHECKING:
    from routekit.config import Config


def engine_settings(config: Config) -> EngineSettings:
    return EngineSettings(
        max_attempts=config.router.max_attempts,
        output_limit=config.router.output_limit,
        unknown_price=config.router.unknown_price,
        lease_s=config.router.lease_s,
        lease_margin_s=config.router.lease_margin_s,
        baseline=config.savings.baseline,
        cache_ttl_s=config.cache.ttl_s,
        cache_scope=config.cache.scopes,
        cache_nondeterministic=config.cache.nondeterministic,
        cache_tool_calls=config.cache.tool_calls,
        cache_reuse=config.cache.reuse,
        cache_jitter=config.cache.jitter,
        cache_stale_s=config.cache.stale_s,
        **config.reliability.model_dump(exclude={"fall_back_on"}),
    )


def deployments_of(config: Config, registry: Registry, catalog: Catalog) -> tuple[Deployment, ...]:
    """The deployments, each with its model's figures and its provider's checked options.

    Raises:
        ConfigError: a key that neither routekit nor the provider knows, or a bad value.
        PluginError: a provider that nobody registered, or that is broken.
    """
    return tuple(_deployment(config, place, table, registry, catalog) for place, table in enumerate(config.deployments))


def _deployment(config: Config, place: int, table: DeploymentTable, registry: Registry, catalog: Catalog) -> Deployment:
    where = f"deployments.{place}"
    plugin = registry.get("provider", table.provider)
    given = {**table.options, **(table.model_extra or {})}
    if isinstance(table.drop_params, bool):  # an option of the provider's own
        given["drop_params"] = table.drop_params
    options = _provider_options(plugin.options, given, where, config.file)
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
        raise ConfigError(str(error), key=where, file=config.file) from None
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
        quality_source=(
            "inferred from the price rank" if table.quality is None else "pinned" if table.pin else "configuration"
        ),
        options=options,
    )


def _provider_options(options: type[Options], given: dict[str, Any], where: str, file: str | None) -> dict[str, Any]:
    for key in given:
        known = [field.alias or name for name, field in options.model_fields.items()]
        if key not in known:
            everything = [*known, *(k for k in DeploymentTable.model_fields if k != "options")]
            near = closest(key, everything)
            fix = f"Did you mean {near!r}?" if near else f"Known keys: {', '.join(sorted(everything))}"
            raise ConfigError("unknown key", key=f"{where}.{key}", file=file, fix=fix)
    checked = options.checked(given, where=where, file=file)
    return checked.model_dump(exclude_unset=True)
