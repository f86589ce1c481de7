"""[router], [groups], [[steps]], [savings] and [records]."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from routekit.config.tables.base import StrategySpec, Table
from routekit.engine.settings import (
    UnknownPrice,
)


class RouterTable(Table):
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


class WhenTable(Table):
    """Conditions of a ``[[steps]]`` rule; all that are given must hold."""

    kind: str | list[str] | None = None
    node: str | list[str] | None = None
    tags: list[str] = []
    after_tool_error: bool | None = None


class StepTable(Table):
    """``[[steps]]``: which strategy serves which step of an agent. The first match wins."""

    when: WhenTable
    strategy: StrategySpec


class GroupTable(Table):
    """``[groups.NAME]``: what holds for one group of deployments.

    `fallback` has the groups that are asked behind it, in order; `aliases` are more names for it, as callers may
    have them in their code.
    """

    strategy: StrategySpec | None = None
    fallback: list[str] = []
    aliases: list[str] = []


class SavingsTable(Table):
    """``[savings]``: `baseline` is the deployment that calls are compared with; by default the best that would do."""

    baseline: str | None = None


class RecordsTable(Table):
    """``[records]``: one record per request, for `routekit spend` and `routekit report`; figures, never messages.

    On by default; off where a program stands in for the machine (`Router(env=..., providers=...)`).
    """

    enabled: bool | None = None
    keep_days: float = Field(default=90, gt=0)
