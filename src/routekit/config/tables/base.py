"""What every table of a configuration file is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict

from routekit.plugin import Strategy


def _is_strategy(value: Any) -> Any:
    if not isinstance(value, (str, Mapping, Strategy)):
        raise ValueError("a strategy is a name, a table with `use`, or in Python an instance")
    return value


StrategySpec = Annotated[Any, AfterValidator(_is_strategy)]
"""A strategy's name, a table with `use` and options, or (in a dictionary) an instance."""


class Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
