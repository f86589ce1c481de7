"""``[[compressors]]``: when each of them runs. The other keys of the table are the compressor's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from routekit.engine.settings import CompressionRule, When
from routekit.errors import ConfigError
from routekit.plugin.options import config_error
from routekit.types import Deployment
from routekit.types.suggest import closest


class CompressorTable(BaseModel):
    """``[[compressors]]``: `use` names the plugin; further keys are its options.

    `when` is "overflow" (only where a request does not fit its largest deployment), "always", or "auto": lossless
    compressors always, the others on overflow. With `above_tokens` they also run on requests with more input
    tokens, with `ratio` they compress to that share. `deployments` (names, groups or model ids) keeps a
    compressor to what these are sent. `timeout_s` seconds is what it may take, then it is left out.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    when: When = "auto"
    above_tokens: int | None = Field(default=None, ge=1)
    ratio: float | None = Field(default=None, gt=0, lt=1)
    deployments: list[str] = []
    timeout_s: float = Field(default=1.0, gt=0)


def compression_rule(
    table: Mapping[str, Any], deployments: Sequence[Deployment], where: str, file: str | None
) -> tuple[CompressionRule, dict[str, Any]]:
    """The rule in a ``[[compressors]]`` table, and what is left of the table.

    Raises:
        ConfigError: a value is none, or a deployment does not exist.
    """
    keys = CompressorTable.model_fields
    try:
        rule = CompressorTable.model_validate({key: value for key, value in table.items() if key in keys})
    except ValidationError as error:
        raise config_error(error, CompressorTable, where=where, file=file) from None
    known = {name for d in deployments for name in (d.name, d.group, d.model.id)}
    for name in rule.deployments:
        if name not in known:
            near = closest(name, known)
            raise ConfigError(
                f"no deployment, group or model is called {name!r}", key=f"{where}.deployments", file=file,
                fix=f"Did you mean {near!r}?" if near else f"Known: {', '.join(sorted(known))}.",
            )  # fmt: skip
    made = CompressionRule(**{**rule.model_dump(), "deployments": frozenset(rule.deployments)})
    return made, {key: value for key, value in table.items() if key not in keys}
