"""Why a request goes where it goes: the explanation is the value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, overload

from routekit.errors import NoCandidateError
from routekit.types.empty import EMPTY
from routekit.types.finding import Finding
from routekit.types.model import Deployment
from routekit.types.money import Money
from routekit.types.request import RouteRequest
from routekit.types.tokens import UNBOUNDED


class Work(NamedTuple):
    """How much a request is, before anybody is called. Counts are tokens.

    `input_tokens` is a likely count, `input_bound` one that is not exceeded; `output_tokens` is what
    an answer usually takes, `output_bound` the limit that is sent, or None where the model's own
    limit applies. Both are for one answer of the `answers` wanted (the parameter ``n``), which bear
    on the worst case only; 0 where nothing is written at all, as for embeddings. `service` is the provider's
    service tier that was asked for. `predicted` are the tokens of a prediction, billed as output where they are
    not used. `added_limit` is the limit to send because neither the call nor the deployment gives one.
    """

    input_tokens: int
    input_bound: int
    output_tokens: int
    output_bound: int | None
    answers: int = 1
    service: str | None = None
    predicted: int = 0
    added_limit: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What one call is expected to take. Money is None where the price is unknown; times are seconds."""

    input_tokens: int
    output_tokens: int
    cost: Money | None
    worst_cost: Money | None
    cached_tokens: int = 0
    ttft_s: float | None = None
    total_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Live figures of one deployment, in seconds; None where nothing was seen lately.

    `total_s` is for a whole answer, `per_token_s` between output tokens; `peak_ewma_s` is a moving
    average that rises at once and falls slowly. `samples` counts recent successes, `failure_rate`
    is the share of recent calls that failed (0..1). `gap_p95_s` is about the longest silence inside
    a stream after its first content.
    """

    samples: int = 0
    ttft_p50_s: float | None = None
    ttft_p95_s: float | None = None
    total_p50_s: float | None = None
    total_p95_s: float | None = None
    per_token_s: float | None = None
    peak_ewma_s: float | None = None
    failure_rate: float = 0.0
    gap_p95_s: float | None = None


class Score(NamedTuple):
    """How good an answer is expected to be: `value`, and `low`, which it is hardly below; both 0..1.

    `source` says where it is from ("learned", "configured", "inferred", or a plugin's own word), `trust` (0..1) how
    like what it knows the request is, `detail` a few words for people.
    """

    value: float
    low: float = 0.0
    source: str = "learned"
    trust: float = 1.0
    detail: str = ""

    def __str__(self) -> str:
        if self.source != "learned":
            return f"quality {self.value:.2f} ({self.detail or self.source})"
        return f"quality {self.value:.2f} ({self.detail or self.source}, trust {self.trust:.2f})"


class Signals(NamedTuple):
    """Facts gathered for ranking, recorded so that a decision can be replayed.

    Mappings are keyed by deployment name and only hold deployments something is known about.
    `cached_prefix` is how many leading tokens of this conversation a deployment's provider still
    holds in its prompt cache. `holder` answered this conversation last, a short while ago, chosen by
    `holder_strategy`; `in_tool_loop` says that the newest message is a tool's result. `seed` makes
    random strategies repeatable. `extra` is what a strategy's own `gather` added. `quality` is what a scorer said
    of this request.
    """

    seed: int = 0
    now: float = 0.0
    latency: Mapping[str, Latency] = EMPTY
    in_flight: Mapping[str, int] = EMPTY
    cached_prefix: Mapping[str, int] = EMPTY
    extra: Mapping[str, Any] = EMPTY
    holder: str | None = None
    holder_strategy: str = ""
    in_tool_loop: bool = False
    quality: Mapping[str, Score] = EMPTY


NO_SIGNALS = Signals()


class Candidate:
    """A feasible deployment with what the request would cost there. Immutable by convention.

    `quality` is always set; `quality_inferred` says that nobody measured it, `quality_source` where it is from
    ("pinned", "learned", "configured", "inferred"), and `quality_low` what it is hardly below. `switching_nanos` is
    what is lost when this conversation leaves its holder for this one. `cost_nanos` and `worst_nanos` (nano-dollars,
    None where the price is unknown) are what strategies compare.
    """

    __slots__ = (
        "cached_tokens", "deployment", "latency", "quality", "quality_inferred", "quality_low", "quality_source",
        "switching_nanos", "work",
    )  # fmt: skip

    def __init__(
        self,
        deployment: Deployment,
        quality: float,
        quality_inferred: bool,
        work: Work,
        cached_tokens: int = 0,
        latency: Latency | None = None,
        switching_nanos: int = 0,
    ) -> None:
        self.deployment = deployment
        self.quality = quality
        self.quality_inferred = quality_inferred
        self.quality_low = quality
        self.quality_source = "inferred" if quality_inferred else "configured"
        self.work = work
        self.cached_tokens = cached_tokens
        self.latency = latency
        self.switching_nanos = switching_nanos

    @property
    def name(self) -> str:
        return self.deployment.name

    @property
    def cost_nanos(self) -> int | None:
        """The expected cost, cached-prefix discount included."""
        price = self.deployment.model.price
        if price is None:
            return None
        work = self.work
        if price.tiers or price.services:
            price = price.for_request(work.input_tokens, work.service)
        total = work.input_tokens * price.input + work.output_tokens * price.output
        if self.cached_tokens and price.cached_input is not None:
            total -= self.cached_tokens * (price.input - price.cached_input)
        return -(-total // 1_000_000) + price.per_request

    @property
    def worst_nanos(self) -> int | None:
        """The most that one call can cost, or None where the price, the output limit or the input is unknown."""
        model = self.deployment.model
        price, window = model.price, model.context_window
        if price is None:
            return None
        answers = self.work.answers
        bound = self.work.output_bound or model.max_output or window
        if bound is None and price.output and answers:
            return None
        read = self.work.input_bound
        if window is not None and read > window and answers:
            read = window  # no model reads more than its window; a longer request is refused, not billed
        elif read >= UNBOUNDED and price.input:
            return None
        written = (bound or 0) + self.work.predicted if self.work.predicted else bound or 0
        return price.worst_nanos(read, written * answers, self.work.service)

    @property
    def estimate(self) -> Estimate:
        cost, worst, latency = self.cost_nanos, self.worst_nanos, self.latency
        return Estimate(
            input_tokens=self.work.input_tokens,
            output_tokens=self.work.output_tokens,
            cost=None if cost is None else Money(cost),
            worst_cost=None if worst is None else Money(worst),
            cached_tokens=self.cached_tokens,
            ttft_s=latency.ttft_p50_s if latency else None,
            total_s=latency.total_p50_s if latency else None,
        )

    def __repr__(self) -> str:
        return f"Candidate({self.deployment.name!r}, quality={self.quality:g}, cost_nanos={self.cost_nanos})"


RejectionCode = Literal[
    "capability", "context_window", "region", "retention", "provider", "tag", "health", "price", "max_cost",
    "budget", "limit", "pinned", "drained", "quality", "strategy", "setup",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """A deployment that may not serve the request. `code` is for programs, `reason` for people."""

    deployment: Deployment
    code: RejectionCode
    reason: str


class Ranked(NamedTuple):
    """A candidate in its place. A higher score is better; its unit is the strategy's own."""

    candidate: Candidate
    score: float

    @property
    def deployment(self) -> Deployment:
        return self.candidate.deployment

    @property
    def estimate(self) -> Estimate:
        return self.candidate.estimate

    @property
    def quality(self) -> float:
        return self.candidate.quality


class Ranking(Sequence[Ranked]):
    """An ordered sequence of `Ranked`, made when looked at: a thousand candidates cost nothing extra."""

    __slots__ = ("candidates", "scores")

    def __init__(self, candidates: Sequence[Candidate] = (), scores: Sequence[float] = ()) -> None:
        self.candidates = candidates
        self.scores = scores

    @overload
    def __getitem__(self, index: int) -> Ranked: ...
    @overload
    def __getitem__(self, index: slice) -> Ranking: ...
    def __getitem__(self, index: int | slice) -> Ranked | Ranking:
        if isinstance(index, slice):
            return Ranking(self.candidates[index], self.scores[index])
        return Ranked(self.candidates[index], self.scores[index])

    def __len__(self) -> int:
        return len(self.candidates)

    def __iter__(self) -> Iterator[Ranked]:
        return map(Ranked, self.candidates, self.scores)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Ranking):
            return NotImplemented
        return [(r.deployment, r.score) for r in self] == [(r.deployment, r.score) for r in other]

    __hash__ = None  # type: ignore[assignment]  # compares by content, so it may not be a key

    def __repr__(self) -> str:
        return f"Ranking({[(c.deployment.name, s) for c, s in zip(self.candidates, self.scores, strict=True)]})"


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteDecision:
    """Who is asked, in which order, and why; who is not, and why not.

    `strategy` is the strategy's label, `path` the chain of strategies that delegated to each other
    (outermost first), `reason` one sentence about the first choice. `propensity` is the chance that the first
    choice had to be it, where the strategy drew it with a known one; None: the strategy does not say. `guards` is
    what guards found, never a value.
    """

    strategy: str
    ranked: Ranking
    reason: str
    rejections: tuple[Rejection, ...] = ()
    signals: Signals = NO_SIGNALS
    path: tuple[str, ...] = ()
    request: RouteRequest | None = field(default=None, repr=False, compare=False)
    notes: tuple[str, ...] = ()
    guards: tuple[Finding, ...] = ()
    propensity: float | None = None

    @property
    def chosen(self) -> Deployment:
        """The first choice.

        Raises:
            NoCandidateError: none was ranked; an answer from a cache, say, has its deployment in `RouteResult`.
        """
        if not self.ranked:
            raise NoCandidateError(f"no deployment was ranked: {self.reason}", rejections=self.rejections)
        return self.ranked[0].deployment

    def to_dict(self) -> dict[str, Any]:
        """Plain data for records: no messages, no secrets."""
        return {
            "strategy": self.strategy,
            "path": list(self.path),
            "reason": self.reason,
            "ranked": [
                {
                    "deployment": r.deployment.name,
                    "model": r.deployment.model.id,
                    "provider": r.deployment.provider,
                    "score": r.score,
                    "quality": r.quality,
                    "quality_inferred": r.candidate.quality_inferred,
                    "quality_source": r.candidate.quality_source,
                    "quality_low": r.candidate.quality_low,
                    "cost_usd": None if (c := r.candidate.cost_nanos) is None else float(Money(c).usd),
                    "cost_nanos": c,
                    "input_tokens": r.candidate.work.input_tokens,
                    "output_tokens": r.candidate.work.output_tokens,
                    "cached_tokens": r.candidate.cached_tokens,
                    "switching_nanos": r.candidate.switching_nanos,
                    "ttft_s": r.candidate.latency.ttft_p50_s if r.candidate.latency else None,
                }
                for r in self.ranked
            ],
            "rejections": [
                {"deployment": r.deployment.name, "code": r.code, "reason": r.reason} for r in self.rejections
            ],
            "notes": list(self.notes),
            "propensity": self.propensity,
            "trust": {name: score.trust for name, score in self.signals.quality.items()},
            "guards": [finding.to_dict() for finding in self.guards],
            "holder": self.signals.holder,
            "seed": self.signals.seed,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a strategy thinks of an answer.

    ``accept``: it stands. ``escalate``: ask the next candidate, for `reason`. ``consult``: run
    `request` first (a judge), then ask again with its answer.
    """

    action: Literal["accept", "escalate", "consult"]
    reason: str = ""
    request: RouteRequest | None = None

    @classmethod
    def escalate(cls, reason: str) -> Verdict:
        return cls(action="escalate", reason=reason)

    @classmethod
    def consult(cls, request: RouteRequest, reason: str = "") -> Verdict:
        return cls(action="consult", reason=reason, request=request)


ACCEPT = Verdict(action="accept")
