"""[cache]."""

from __future__ import annotations

import re
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from routekit.config.tables.budgets import SCOPE_KINDS
from routekit.engine.settings import (
    CARRIED_SCOPES,
    Reuse,
)
from routekit.types.suggest import closest, suggestion


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
            near = closest(kind, CARRIED_SCOPES, cutoff=0.6)
            known = ", ".join(CARRIED_SCOPES)
            if near or kind in SCOPE_KINDS or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", kind):
                hint = f"did you mean {near!r}?" if near else f"known: {known}, or a kind of your own"
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
                hint = suggestion(key, known)
                raise ValueError(f"unknown key {key!r}; {hint}")
        return self
