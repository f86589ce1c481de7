"""The shape of a scenario file: deployments as they behave, traffic as it comes, and the router's own tables."""

from __future__ import annotations

import math
import os
import random
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from routekit.config import Config
from routekit.config.tables.budgets import PriceTable
from routekit.config.tables.deployments import LimitsTable
from routekit.errors import ConfigError
from routekit.plugin.options import config_error

FaultKind = Literal["error", "hang", "reset", "cut", "stall", "slow", "empty"]
PROVIDER = "simulated"
NORMAL_P95 = 1.6448536269514722
"""The 95th percentile of the standard normal distribution."""


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Spread(_Table):
    """A lognormal distribution, by its median and its 95th percentile; without `p95` always the median."""

    median: float = Field(gt=0)
    p95: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.p95 is not None and self.p95 < self.median:
            raise ValueError("the 95th percentile lies below the median")
        return self

    def draw(self, rng: random.Random) -> float:
        drawn = rng.gauss(0.0, 1.0)  # drawn in any case: what is drawn later does not depend on `p95`
        if self.p95 is None:
            return self.median
        return self.median * math.exp(drawn * math.log(self.p95 / self.median) / NORMAL_P95)


class FaultTable(_Table):
    """``[[deployments.faults]]``: what goes wrong, for a share of the calls that begin in a window.

    `from_s` and `until_s` are seconds from the start; without `until_s` it never ends. `error` answers
    with `status` (and `retry_after_s`), `reset` breaks the connection, both after `after_s`; `hang` says nothing,
    `stall` falls silent and `cut` ends in the middle of an answer, `slow` takes `factor` times as long, `empty` answers
    without text.
    """

    kind: FaultKind
    from_s: float = Field(default=0.0, ge=0)
    until_s: float | None = Field(default=None, gt=0)
    share: float = Field(default=1.0, gt=0, le=1)
    status: int = Field(default=500, ge=400, le=599)
    retry_after_s: float | None = Field(default=None, ge=0)
    after_s: float = Field(default=0.05, ge=0)
    factor: float = Field(default=5.0, ge=1)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.until_s is not None and self.until_s <= self.from_s:
            raise ValueError("until_s must be later than from_s")
        return self

    def covers(self, at_s: float) -> bool:
        return self.from_s <= at_s and (self.until_s is None or at_s < self.until_s)


class DeploymentTable(_Table):
    """``[[deployments]]``: how one deployment behaves.

    `first_token_s` is the time to the first token, in seconds; then come `tokens_per_s`. `limits` is
    what the router is told; `enforces` what the deployment itself refuses beyond, with 429 and a
    ``Retry-After``. `price` is in US dollars per million tokens.
    """

    name: str = Field(min_length=1)
    group: str = "default"
    quality: float | None = Field(default=None, ge=0, le=1)
    weight: float = Field(default=1.0, ge=0)
    price: PriceTable = PriceTable(input=0, output=0)
    limits: LimitsTable = LimitsTable()
    enforces: LimitsTable = LimitsTable()
    context_window: int = Field(default=200_000, ge=1)
    first_token_s: Spread = Spread(median=0.4, p95=1.0)
    tokens_per_s: float = Field(default=80.0, gt=0)
    faults: list[FaultTable] = []


class TrafficTable(_Table):
    """``[traffic]``: who asks when. Either generated or, with `recording`, read from a file of JSON lines.

    Generated requests come as a Poisson process of `rate_per_s`: `requests` of them, or as many as come
    in `duration_s`. `streamed` is the share that is streamed, `repeated` the share that asks what was
    asked before, `abandoned` the share whose caller goes away half-way. Each line of a recording has
    `at` (seconds), `input_tokens`, `output_tokens`, and optionally `prompt` (equal ones are
    equal prompts), `stream` and `tags`.
    """

    rate_per_s: float = Field(default=1.0, gt=0)
    requests: int | None = Field(default=None, ge=1, le=1_000_000)
    duration_s: float | None = Field(default=None, gt=0)
    input_tokens: Spread = Spread(median=400, p95=2000)
    output_tokens: Spread = Spread(median=150, p95=600)
    streamed: float = Field(default=0.0, ge=0, le=1)
    repeated: float = Field(default=0.0, ge=0, le=1)
    abandoned: float = Field(default=0.0, ge=0, le=1)
    tags: list[str] = []
    recording: str | None = None

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.recording is None and self.requests is None and self.duration_s is None:
            raise ValueError("say how much traffic there is: requests, duration_s or recording")
        if self.recording is None and self.requests is None and self.rate_per_s * (self.duration_s or 0) > 1_000_000:
            raise ValueError("more than a million requests; make duration_s shorter")
        return self


class Scenario(_Table):
    """A whole scenario. `config` holds tables of ``routekit.toml``: router, reliability, cache, budgets, ..."""

    name: str = "scenario"
    strategies: list[str] = []
    deployments: list[DeploymentTable] = Field(min_length=1)
    traffic: TrafficTable
    config: dict[str, Any] = {}
    folder: str = Field(default=".", exclude=True)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> Scenario:
        """Reads a scenario; a recording is looked for beside it.

        Raises:
            ConfigError: it cannot be read, is no TOML, or something in it is wrong.
        """
        file = os.fspath(path)
        try:
            data = tomllib.loads(Path(file).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ConfigError("no such file", file=file) from None
        except OSError as error:
            raise ConfigError(f"cannot be read: {error.strerror}", file=file) from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"is no valid TOML: {error}", file=file) from None
        data.setdefault("name", Path(file).stem)
        return cls.from_dict(data, file=file)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, file: str | None = None) -> Scenario:
        """Checks a dictionary of the same shape.

        Raises:
            ConfigError: the first thing that is wrong, with its key and the fix.
        """
        if "folder" in data:
            raise ConfigError("unknown key", key="folder", file=file)
        try:
            scenario = cls.model_validate({**data, "folder": str(Path(file).parent) if file else "."})
        except ValidationError as error:
            raise config_error(error, cls, file=file) from None
        scenario.to_config(file=file)
        return scenario

    def to_config(self, *, file: str | None = None) -> Config:
        """The router's configuration. State stays in memory: nothing on disk is read or written.

        Raises:
            ConfigError: a table in `config` is wrong, or would reach outside the simulation.
        """
        for table in ("deployments", "observers"):
            if table in self.config:
                raise ConfigError("is not part of a scenario's configuration", key=f"config.{table}", file=file)
        router = self.config.get("router", {})
        if not isinstance(router, Mapping):
            raise ConfigError("must be a table", key="config.router", file=file)
        if "budget_store" in router:
            raise ConfigError(
                "a simulation keeps its own balances", key="config.router.budget_store", file=file, fix="Leave it out."
            )
        cache = self.config.get("cache", {})
        if isinstance(cache, Mapping) and (kept := [name for name in cache.get("use", []) if name != "memory"]):
            raise ConfigError(
                f"a simulation can only cache in memory, not in {kept[0]!r}", key="config.cache.use", file=file,
                fix='Write use = ["memory"].',
            )  # fmt: skip
        tables = [
            {
                **deployment.model_dump(exclude={"enforces", "first_token_s", "tokens_per_s", "faults", "quality"}),
                **({} if deployment.quality is None else {"quality": deployment.quality}),
                "provider": PROVIDER,
                "model": f"{deployment.name}-model",
            }
            for deployment in self.deployments
        ]
        whole = {**self.config, "deployments": tables, "router": {**router, "budget_store": PROVIDER}}
        try:
            return Config.from_dict({**whole, "observers": [{"use": PROVIDER}]})
        except ConfigError as error:
            key = error.key if error.key is None or error.key.startswith("deployments") else f"config.{error.key}"
            raise ConfigError(error.problem, key=key, file=file, fix=error.fix) from None
