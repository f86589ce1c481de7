"""Texts as vectors, asked for by a caller: routed, held for, recorded, and made by somebody else where one fails."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from routekit.engine.attempts.call import prepared, remaining_s
from routekit.engine.attempts.runner import Asking
from routekit.engine.attempts.sequence import Chain
from routekit.engine.budget.reservations import Billing
from routekit.engine.budget.usage import counted_input
from routekit.engine.cache.embedding import Embedding
from routekit.engine.health.health import Health
from routekit.engine.io.port import IO
from routekit.engine.permit import Permit
from routekit.engine.plan.decide import Deciding
from routekit.engine.plan.planner import Pool
from routekit.engine.result import final_decision
from routekit.engine.run import Run
from routekit.errors import GuardUnavailableError, InvalidInputError, InvalidResponseError, NoCandidateError
from routekit.plugin import Embeddings, Provider
from routekit.types import (
    NO_USAGE,
    Candidate,
    Deployment,
    EmbeddingResult,
    Money,
    Ranking,
    Rejection,
    RouteDecision,
    Usage,
    Work,
    text_tokens,
)

EMBED_S = 60.0
"""The longest that one call may take."""

STRATEGY = "embeddings"
NEEDED = frozenset({"embeddings"})
_TEXT_BOUND = 16
EmbeddersOf = Callable[[str | None], Sequence[Deployment]]


class Made(NamedTuple):
    """What one call gave, and what it used."""

    found: Embeddings
    permit: Permit
    usage: Usage


class Vectors:
    """Embeds for callers. `embedders_of` finds the deployments that a name means, all of one model: vectors of two
    models cannot be compared, so that nobody else may take over. A deployment that is not among those whose
    health is known is on this machine, and asked directly."""

    def __init__(
        self,
        *,
        provider_of: Callable[[Deployment], Provider],
        embedders_of: EmbeddersOf,
        deciding: Deciding,
        asking: Asking,
        billing: Billing,
        health: Health,
        embedding: Embedding,
    ) -> None:
        self._provider_of = provider_of
        self._embedders_of = embedders_of
        self._deciding = deciding
        self._asking = asking
        self._billing = billing
        self._health = health
        self._embedding = embedding

    async def embed(self, io: IO, run: Run, name: str | None, *, single: bool, asked: int) -> EmbeddingResult:
        """The vectors of the request's messages, of which there were `asked` before the guards.

        Raises:
            RoutingError: nobody could make them, or was allowed to; a ProviderError that must be surfaced.
            InvalidInputError: there is no such deployment.
        """
        texts = [text for m in run.request.messages if isinstance(text := m.get("content"), str)]
        if len(texts) != asked:
            raise GuardUnavailableError("a guard left other texts than were to be embedded; nothing was sent")
        members = self._embedders_of(name)
        vectors: list[tuple[float, ...]] = []
        usage, model, place, deployment = NO_USAGE, None, 0, members[0]
        limits = [self._provider_of(d).embedding_limits(d) for d in members] if asked > 1 else [(1, 1)]
        for batch in batches(texts, min(count for count, _ in limits), min(tokens for _, tokens in limits)):
            if not self._health.knows(members[0].name):
                run.decision = run.decision or _decision(run, [Candidate(members[0], 0.0, True, _work(batch))], ())
                found = await self._embedding.vectors(io, run, name, batch, EMBED_S)
                used = run.attempts[-1].usage
            else:
                chain = Chain(self._decided(run, members, batch), role="embedding")
                attempt = functools.partial(self._attempt, texts=batch)
                made = await self._asking.ask(io, run, chain, attempt, self._unwanted)
                self._asking.ended(run, made.permit, "ok", made.usage)
                found, used, deployment = made.found, made.usage, made.permit.candidate.deployment
            place += len(batch)
            usage, model = (used if usage is NO_USAGE else usage + used), found.model or model
            vectors.extend(tuple(map(float, vector)) for vector in found.vectors)
        return EmbeddingResult(
            id=run.id, vectors=tuple(vectors), usage=usage, cost=Money(run.cost_nanos), decision=final_decision(run),
            attempts=tuple(run.attempts), deployment=deployment, model=model or deployment.model.id,
            cost_known=run.cost_known, duration_s=run.deadline.elapsed_s(), single=single,
        )  # fmt: skip

    def _decided(self, run: Run, members: Sequence[Deployment], texts: Sequence[str]) -> RouteDecision:
        work = _work(texts)
        rows, rejected, _ = Pool(members).filtered(NEEDED, run.request.requirements)
        rejections = list(rejected)
        unavailable = self._health.unavailable(work.input_tokens)
        candidates: list[Candidate] = []
        for row in rows:
            if (why := unavailable.get(row.deployment.name)) is not None:
                rejections.append(Rejection(deployment=row.deployment, code=why[0], reason=why[1]))
            elif row.deployment.price is None and self._billing.price_required():
                reason = "its price is unknown and spending is limited; set `price` for it"
                rejections.append(Rejection(deployment=row.deployment, code="price", reason=reason))
            else:
                candidates.append(Candidate(row.deployment, row.quality, row.inferred, work))
        candidates, dear = self._billing.affordable(run, candidates)
        rejections += dear
        if not candidates:
            told = "; ".join(f"{rejection.deployment.name}: {rejection.reason}" for rejection in rejections)
            raise NoCandidateError(f"no deployment can make these vectors. {told}", rejections=rejections)
        candidates.sort(key=lambda c: (c.deployment.price is None, c.cost_nanos or 0))  # stable: as configured
        run.decision = _decision(run, candidates, tuple(rejections))
        return run.decision

    async def _attempt(self, io: IO, run: Run, chain: Chain, permit: Permit, *, texts: Sequence[str]) -> Made:
        deployment = permit.candidate.deployment
        try:
            provider = self._provider_of(deployment)
            if not provider.is_ready:
                await prepared(io, run, provider)
            left_s = remaining_s(run)
            limit_s = EMBED_S if left_s is None else min(EMBED_S, left_s)
            permit.sent = True
            found = await io.within(limit_s, io.embed(provider, deployment, texts, limit_s))
            usage, permit.doubt = counted_input(found.input_tokens, permit.candidate)
            check(found, len(texts), usage)
        except BaseException as error:
            raise self._asking.failed(run, permit, error, ())  # noqa: B904 - it brings its own cause
        return Made(found, permit, usage)

    def _unwanted(self, io: IO, run: Run, made: Made) -> None:
        self._asking.ended(run, made.permit, "cancelled", made.usage, detail="another attempt was faster")


def check(found: Embeddings, count: int, usage: Usage | None) -> None:
    """Raises InvalidResponseError where these are not `count` vectors of real numbers."""
    if len(found.vectors) != count:
        raise InvalidResponseError(f"{len(found.vectors)} vectors came for {count} texts", usage=usage)
    for vector in found.vectors:
        if not vector or not all(isinstance(x, int | float) and math.isfinite(x) for x in vector):
            raise InvalidResponseError("a vector holds nothing, or something that is no number", usage=usage)


def batches(texts: Sequence[str], count: int, tokens: int) -> Iterator[list[str]]:
    """The texts in runs of at most so many, and of so many tokens as they are counted to lean high; one at least.

    >>> list(batches(["a", "b", "c"], 2, 1000))
    [['a', 'b'], ['c']]
    """
    batch: list[str] = []
    size = 0
    for text in texts:
        read = text_tokens(text) * 4 // 3
        if batch and (len(batch) >= count or size + read > tokens):
            yield batch
            batch, size = [], 0
        batch.append(text)
        size += read
    if batch:
        yield batch


def texts_of(given: str | Sequence[str]) -> list[str]:
    """The texts to embed. Raises InvalidInputError for what is none."""
    texts = [given] if isinstance(given, str) else list(given) if isinstance(given, Sequence) else []
    if not texts or not all(isinstance(text, str) for text in texts):
        raise InvalidInputError(f"embed takes a text or a list of texts, one at least; got {type(given).__name__}")
    return texts


def _work(texts: Sequence[str]) -> Work:
    bound = sum(len(text.encode("utf-8", "surrogatepass")) + _TEXT_BOUND for text in texts)
    return Work(sum(map(text_tokens, texts)), bound, 0, 0, 0)


def _decision(run: Run, candidates: Sequence[Candidate], rejections: tuple[Rejection, ...]) -> RouteDecision:
    first = candidates[0].deployment
    return RouteDecision(
        strategy=STRATEGY, ranked=Ranking(candidates, [0.0] * len(candidates)), rejections=rejections,
        reason=f"the cheapest that makes vectors of {first.model.id}", path=(STRATEGY,), request=run.request,
    )  # fmt: skip
