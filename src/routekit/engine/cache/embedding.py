"""A question as a vector, made by a deployment that is paid for it like any other."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from routekit.engine.attempts.call import prepared
from routekit.engine.attempts.classify import as_provider_error, owed, short
from routekit.engine.budget.reservations import Billing
from routekit.engine.budget.usage import counted_input
from routekit.engine.events import Notifier
from routekit.engine.io.port import IO
from routekit.engine.permit import Admission, Permit
from routekit.engine.plan.planner import Pool
from routekit.engine.run import Run
from routekit.errors import InvalidInputError, InvalidResponseError, ProviderError
from routekit.plugin import Embeddings, Provider, reaper
from routekit.types import (
    Attempt,
    AttemptEnded,
    AttemptStarted,
    Candidate,
    Clock,
    Deployment,
    Outcome,
    Usage,
    Work,
    text_tokens,
)

EmbedderOf = Callable[[str | None], Deployment]


def no_embedder(name: str | None) -> Deployment:
    raise InvalidInputError(f"nobody makes embeddings here; asked for {name or 'the local ones'}")


class Embedding:
    """Embeds with a hold of its own. `embedder_of` finds the deployment of a name; None: the one on this machine."""

    def __init__(
        self,
        *,
        provider_of: Callable[[Deployment], Provider],
        embedder_of: EmbedderOf,
        billing: Billing,
        clock: Clock,
        notify: Notifier,
    ) -> None:
        self._provider_of = provider_of
        self._embedder_of = embedder_of
        self._billing = billing
        self._clock = clock
        self._notify = notify

    async def vector(self, io: IO, run: Run, name: str | None, text: str, timeout_s: float) -> Any:
        """The vector of a text; see `vectors`."""
        (vector,) = (await self.vectors(io, run, name, [text], timeout_s)).vectors
        return vector

    async def vectors(self, io: IO, run: Run, name: str | None, texts: Sequence[str], timeout_s: float) -> Embeddings:
        """The vectors of texts from one deployment, in at most `timeout_s` seconds.

        Raises:
            ProviderError, TimeoutError: the embedder failed.
            InvalidInputError: this request may not be sent there.
            BudgetExceededError: it does not fit.
        """
        deployment = self._embedder_of(name)
        if name is not None:  # what stays in this process may be seen by it
            self._check(run, deployment)
        bound = sum(len(text.encode("utf-8", "surrogatepass")) + 16 for text in texts)
        work = Work(sum(map(text_tokens, texts)), bound, 0, 0, 0)
        candidate = Candidate(deployment, 0.0, True, work)
        permit = Permit(candidate, Admission(deployment.name, 0.0, 0, False), 0, "embedding", run.deadline.elapsed_s())
        price = deployment.model.price
        if price is None or price.input or price.per_request:  # what costs nothing is not held for
            await self._billing.reserve(io, run, permit)
        if self._notify:
            self._notify(AttemptStarted(request_id=run.id, at=self._clock.time(), deployment=deployment))
        permit.sent = True
        try:
            provider = self._provider_of(deployment)
            if not provider.is_ready:
                await prepared(io, run, provider)
            found = await io.within(timeout_s, io.embed(provider, deployment, texts, timeout_s))
            usage, permit.doubt = counted_input(found.input_tokens, candidate)
            if len(found.vectors) != len(texts):
                raise InvalidResponseError(f"{len(found.vectors)} vectors came for {len(texts)} texts", usage=usage)
        except BaseException as error:
            failure = as_provider_error(error, deployment)
            owes, permit.doubt = owed(failure, permit, ())
            outcome: Outcome = "cancelled" if failure is None else "error"
            reaper.end(error, functools.partial(self._ended, run, permit, outcome, owes, failure))
            raise
        self._ended(run, permit, "ok", usage)
        return found

    def _check(self, run: Run, deployment: Deployment) -> None:
        _, rejections, _ = Pool([deployment]).filtered(frozenset({"embeddings"}), run.request.requirements)
        if rejections:
            raise InvalidInputError(f"{deployment.name} may not see this request: {rejections[0].reason}")
        if deployment.model.price is None and self._billing.price_required():
            raise InvalidInputError(f"the price of {deployment.name} is unknown and spending is limited")

    def _ended(
        self, run: Run, permit: Permit, outcome: Outcome, usage: Usage | None, error: ProviderError | None = None
    ) -> None:
        bill = self._billing.settle(run, permit, usage)
        attempt = Attempt(
            deployment=permit.candidate.deployment, outcome=outcome, error=error, usage=usage or Usage(),
            cost=bill.cost, cost_known=bill.known, uncertain=bill.uncertain, started_s=permit.started_s,
            duration_s=max(0.0, run.deadline.elapsed_s() - permit.started_s), role="embedding",
            detail=short(error) if error else "",
        )  # fmt: skip
        run.record(attempt)
        if self._notify:
            self._notify(AttemptEnded(request_id=run.id, at=self._clock.time(), attempt=attempt))
