"""[[deployments]]."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from routekit.config.tables.base import Table
from routekit.config.tables.budgets import PriceTable
from routekit.types import CAPABILITIES
from routekit.types.sending import LIMITS, UNDROPPABLE


class LimitsTable(Table):
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
    pin: bool = False
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
