"""Candidates for tests of strategies: one by hand, or many by hypothesis."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hypothesis import strategies as st

from routekit.types import (
    Answer,
    Candidate,
    Deployment,
    Latency,
    Model,
    Price,
    RouteDecision,
    RouteRequest,
    Signals,
    Step,
    Work,
)

WORK = Work(input_tokens=1000, input_bound=4000, output_tokens=1000, output_bound=None)


def candidate(
    name: str,
    usd: float | None = 1.0,
    quality: float = 0.5,
    *,
    inferred: bool = False,
    latency: Latency | None = None,
    weight: float = 1.0,
    group: str = "default",
    tags: Iterable[str] = (),
    cached_tokens: int = 0,
    cached_usd: float | None = None,
    work: Work = WORK,
) -> Candidate:
    """A candidate whose input and output cost `usd` per million tokens; None: unknown price."""
    price = None
    if usd is not None:
        extra = {} if cached_usd is None else {"cached_input": cached_usd}
        price = Price.from_usd(input=usd, output=usd, **extra)
    deployment = Deployment(
        name=name, provider="scripted", model=Model(id=f"model-{name}", price=price), weight=weight, group=group,
        tags=frozenset(tags),
    )  # fmt: skip
    return Candidate(deployment, quality, inferred, work, cached_tokens, latency)


def seen(ttft_s: float | None = None, total_s: float | None = None, **figures: Any) -> Latency:
    """Live figures with the medians given; the 95th percentiles are three times as long unless given."""
    figures.setdefault("ttft_p95_s", None if ttft_s is None else ttft_s * 3)
    figures.setdefault("total_p95_s", None if total_s is None else total_s * 3)
    return Latency(samples=10, ttft_p50_s=ttft_s, total_p50_s=total_s, **figures)


def ask(text: str = "Why is the sky blue?", **fields: Any) -> RouteRequest:
    """A request of one user message."""
    return RouteRequest(messages=({"role": "user", "content": text},), **fields)


def says(text: str | None, finish_reason: str = "stop", **fields: Any) -> Answer:
    """An answer; fields that are no `Answer`'s go into its message."""
    own = {key: fields.pop(key) for key in ("logprobs", "usage") if key in fields}
    return Answer(message={"role": "assistant", "content": text, **fields}, finish_reason=finish_reason, **own)  # type: ignore[typeddict-item]


def names(decision: RouteDecision) -> list[str]:
    """The order that was decided."""
    return [ranked.name for ranked in decision.ranked.candidates]


def rejected(decision: RouteDecision) -> dict[str, str]:
    """Name to code."""
    return {rejection.deployment.name: rejection.code for rejection in decision.rejections}


_seconds = st.floats(0, 60, allow_nan=False)
_maybe_seconds = st.none() | _seconds
_qualities = st.sampled_from([0.0, 0.3, 0.5, 0.8, 1.0]) | st.floats(0, 1)

latencies = st.builds(
    Latency,
    samples=st.integers(0, 64),
    ttft_p50_s=_maybe_seconds,
    ttft_p95_s=_maybe_seconds,
    total_p50_s=_maybe_seconds,
    total_p95_s=_maybe_seconds,
    per_token_s=st.none() | st.floats(0, 1),
    peak_ewma_s=_maybe_seconds,
    failure_rate=st.sampled_from([0.0, 1.0]) | st.floats(0, 1),
)

_works = st.builds(Work, st.integers(0, 200_000), st.just(800_000), st.integers(0, 10_000), st.none() | st.just(10_000))


@st.composite
def candidate_lists(draw: st.DrawFn, max_size: int = 8) -> list[Candidate]:
    """Candidates of one request, with different names and with ties, zeros and unknowns in everything else."""
    work = draw(_works)
    taken = draw(st.lists(st.text("abcdef-", min_size=1, max_size=4), unique=True, max_size=max_size))
    return [
        candidate(
            name,
            draw(st.none() | st.sampled_from([0.0, 0.1, 1.0]) | st.floats(0, 100)),
            draw(_qualities),
            inferred=draw(st.booleans()),
            latency=draw(st.none() | latencies),
            weight=draw(st.sampled_from([0.0, 1.0, 1e-300, 1e300]) | st.floats(0, 100)),
            tags=draw(st.sets(st.sampled_from(["eu", "local"]))),
            cached_tokens=draw(st.sampled_from([0, work.input_tokens])),
            cached_usd=0.0,
            work=work,
        )
        for name in taken
    ]


@st.composite
def requests(draw: st.DrawFn) -> RouteRequest:
    """Requests that differ in what strategies look at."""
    kind = draw(st.none() | st.sampled_from(["plan", "act", "answer", "recover", "other"]))
    return ask(
        draw(st.text(max_size=20)),
        stream=draw(st.booleans()),
        step=None if kind is None else Step(kind=kind, node=draw(st.none() | st.just("planner"))),
        tools=draw(st.just(()) | st.just(({"type": "function", "function": {"name": "search"}},))),
    )


@st.composite
def situations(draw: st.DrawFn, max_size: int = 8) -> tuple[RouteRequest, list[Candidate], Signals]:
    """Arguments for `rank`."""
    candidates = draw(candidate_lists(max_size))
    in_flight = {c.name: draw(st.integers(0, 50)) for c in candidates if draw(st.booleans())}
    return draw(requests()), candidates, Signals(seed=draw(st.integers(0, 2**32 - 1)), in_flight=in_flight)
