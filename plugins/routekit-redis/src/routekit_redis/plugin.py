"""What routekit finds when this package is installed. Nothing heavy is imported before it is used."""

from __future__ import annotations

from routekit.plugin import Budget, BudgetPlugin, Cache, CachePlugin, PluginContext, SharedPlugin, SharedState, hookimpl
from routekit_redis.options import RedisCacheOptions, RedisLedgerOptions, RedisOptions


def _budget(options: RedisLedgerOptions, context: PluginContext) -> Budget:
    from routekit_redis.ledger import RedisLedger

    return RedisLedger(options, env=context.env, home=context.home)


def _shared(options: RedisOptions, context: PluginContext) -> SharedState:
    from routekit_redis.shared import RedisShared

    return RedisShared(options, env=context.env)


@hookimpl
def routekit_budgets() -> list[BudgetPlugin]:
    return [
        BudgetPlugin(
            name="redis",
            factory=_budget,
            options=RedisLedgerOptions,
            summary="An append-only ledger on Redis or Valkey 7+, shared by machines; exact, atomic, fails closed.",
        )
    ]


def _cache(options: RedisCacheOptions, context: PluginContext) -> Cache:
    from routekit_redis.cache import RedisCache

    return RedisCache(options, env=context.env, home=context.home, clock=context.clock)


@hookimpl
def routekit_caches() -> list[CachePlugin]:
    return [
        CachePlugin(
            name="redis",
            factory=_cache,
            options=RedisCacheOptions,
            summary="Exact answers on Redis or Valkey 7+, shared by machines; each value is sealed.",
        )
    ]


@hookimpl
def routekit_shared() -> list[SharedPlugin]:
    return [
        SharedPlugin(
            name="redis",
            factory=_shared,
            options=RedisOptions,
            summary="Limits and ejections on Redis or Valkey 7+, kept together by all machines.",
        )
    ]
