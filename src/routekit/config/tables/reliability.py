"""[reliability]."""

from __future__ import annotations

from pydantic import Field, field_validator

from routekit.config.tables.base import Table
from routekit.engine.attempts.answer_checks import DEFAULT, AnswerPolicy
from routekit.engine.settings import (
    OnBadRequest,
    OnInterrupt,
)


class ReliabilityTable(Table):
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
