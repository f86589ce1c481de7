"""Ask a cheap model first, look at its answer, and ask a better one where that is not good enough."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from routekit.builtin.strategies import _verify
from routekit.builtin.strategies._delegating import Choice, Delegating, StrategyOption
from routekit.builtin.strategies.cheapest import Cheapest
from routekit.errors import ConfigError
from routekit.plugin import Options
from routekit.types import ACCEPT, Answer, Attempt, RouteRequest, Verdict

VERIFIERS = ("schema", "logprob", "judge")


class CascadeOptions(Options):
    strategy: StrategyOption = Field(default_factory=Cheapest, description="Who puts the candidates in order. cheapest")
    verify: Any = Field("schema", description="'schema', 'logprob', 'judge', or in Python a function of the answer.")
    schema_: dict[str, Any] | None = Field(
        None, alias="schema", description="The JSON Schema of answers whose request carries none."
    )
    min_logprob: float = Field(-1.0, le=0, description="The least mean token log-probability. -1 is 37 % per token.")
    on_missing: Literal["escalate", "accept"] = Field(
        "escalate", description="What becomes of an answer that cannot be scored: no log-probabilities, no grade."
    )
    judge: str | None = Field(None, description="The deployment, model or group that grades answers.")
    min_score: float = Field(0.7, ge=0, le=1, description="The least grade of the judge, 0..1.")
    rubric: str = Field(
        "A good answer is correct, complete and does what the question asks.", description="What the judge looks for."
    )

    @field_validator("verify")
    @classmethod
    def _known(cls, verify: Any) -> Any:
        if not callable(verify) and verify not in VERIFIERS:
            raise ValueError(f"is none of {', '.join(VERIFIERS)}, and no function of the answer either")
        return verify

    @model_validator(mode="after")
    def _complete(self) -> CascadeOptions:
        if self.verify == "judge" and not self.judge:
            raise ValueError("verify = 'judge' needs `judge`, the deployment, model or group that grades answers")
        return self


class Cascade(Delegating):
    """A cheap model first, a better one where its answer does not pass a check.

    The order is another strategy's: `cheapest`, whose fallbacks rise in quality, unless `strategy`
    says otherwise. Every answer is paid for, the refused ones too, and shown as an attempt. When
    there is nobody left to ask, the last answer stands. Streams are held back until an answer is
    accepted. Chen, Zaharia and Zou, "FrugalGPT" (2023).

    `verify` says how an answer is looked at:

    - ``schema``: the text must be JSON that fits the request's ``response_format``, or `schema`
      where the request has none; tool calls must name an offered tool and fit its parameters; an
      answer that was cut off fails. `_schema` lists the keywords that are checked.
    - ``logprob``: the mean log-probability of the answer's tokens must reach `min_logprob`.
    - ``judge``: another model grades the answer; the grade must reach `min_score`. The judge's call
      is paid for by the same request and keeps to its hard filters.
    - a function of the `Answer` (in Python): True accepts, False escalates, a text is the reason to.

    An empty answer escalates whatever the check; a refusal is handed to the caller as it is. Where
    there is nothing to score, because the provider gave no log-probabilities or the judge no grade,
    `on_missing` decides: by default an answer that could not be checked has not passed. Answers
    that consist of tool calls only are not scored by ``logprob`` and ``judge``.
    """

    name = "cascade"
    Options = CascadeOptions
    options: CascadeOptions

    def nested(self) -> dict[str, Any]:
        return {"strategy": self.options.strategy}

    def choose(self, request: RouteRequest) -> Choice:
        return Choice("strategy", "asked first")

    def review(
        self,
        request: RouteRequest,
        answer: Answer,
        attempts: Sequence[Attempt],
        consulted: Answer | None = None,
    ) -> Verdict:
        if _verify.is_refusal(answer):
            return ACCEPT
        verify = self.options.verify
        found = _verify.emptiness(answer)
        if found is None:
            if verify == "schema":
                found = _verify.schema_problem(request, answer, self.options.schema_)
            elif callable(verify):
                found = _verify.predicate_problem(verify, answer)
            elif not answer.text.strip():
                found = None  # tool calls only
            elif verify == "logprob":
                found = self._unsure(answer)
            elif consulted is None:
                return self._consult(request, answer)
            else:
                found = self._graded_low(consulted)
        return ACCEPT if found is None else Verdict.escalate(found)

    def _unsure(self, answer: Answer) -> str | None:
        mean, least = _verify.mean_logprob(answer), self.options.min_logprob
        if mean is None:
            return self._unscored("the provider gave no log-probabilities")
        return None if mean >= least else f"mean log-probability {mean:.2f} is below {least:g}"

    def _consult(self, request: RouteRequest, answer: Answer) -> Verdict:
        judge = self.options.judge or ""
        return Verdict.consult(
            _verify.judge_request(request, answer, judge, self.options.rubric), f"{judge} grades the answer"
        )

    def _graded_low(self, consulted: Answer) -> str | None:
        score, least = _verify.judge_score(consulted), self.options.min_score
        if score is None:
            return self._unscored(f"the judge {self.options.judge} gave no grade")
        return None if score >= least else f"the judge's grade {score:g} is below {least:g}"

    def _unscored(self, why: str) -> str | None:
        return why if self.options.on_missing == "escalate" else None

    def _inherit(self) -> None:
        super()._inherit()
        if self.reviews:
            raise ConfigError(
                "its strategy looks at answers itself, and an answer can have one verdict only",
                key=f"{self.name}.strategy",
                fix="Put the cascade inside the other strategy, or let one of the two do the checking.",
            )
        self.reviews = True
        self.wants_logprobs = self.options.verify == "logprob"
