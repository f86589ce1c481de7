"""What keeps us from asking somebody who has too much to do: retries, throttling, and the provider's own word."""

from __future__ import annotations

import random
from collections.abc import Mapping

from routekit.engine.health.rate_limit_headers import Headroom
from routekit.engine.health.retry_budget import RetryBudget
from routekit.engine.health.throttle import Throttle, is_overload
from routekit.engine.permit import Permit
from routekit.errors import ProviderError
from routekit.types import Candidate, Clock, Deployment, Outcome


class Overload:
    """Asked before a call is sent, told when it ended. Safe in threads and tasks."""

    def __init__(self, clock: Clock, rng: random.Random) -> None:
        self._retries = RetryBudget()
        self._throttle = Throttle(clock, rng)
        self._headroom = Headroom(clock)

    def refuses_retry(self, deployment: Deployment) -> str | None:
        """Takes a retry of a deployment that has failed in this request, or says why there is none.

        It is charged from now on, while the request still backs off: the permit that follows has
        `retries` set, or `retry_unsent` gives it back.
        """
        if self._retries.allows_retry(endpoint_of(deployment)):
            return None
        return f"the retry budget of provider {deployment.provider!r} is used up"

    def retry_unsent(self, deployment: Deployment) -> None:
        self._retries.retry_ended(endpoint_of(deployment))

    def refuses(self, candidate: Candidate, others_left: bool) -> str | None:
        """Why this call is not sent. What the provider reports only steers: with nobody else left it is tried."""
        name = candidate.deployment.name
        if others_left and (why := self._headroom.why_not(name, candidate.work.input_tokens)) is not None:
            return why
        if self._throttle.rejects(name):
            return "it refuses too many calls; this one was not sent, to let it recover"
        return None

    def started(self, deployment: Deployment) -> None:
        self._retries.started(endpoint_of(deployment))

    def ended(self, permit: Permit, outcome: Outcome, error: ProviderError | None) -> None:
        """A call that was sent is over."""
        deployment = permit.candidate.deployment
        endpoint = endpoint_of(deployment)
        if permit.retries:
            self._retries.retry_ended(endpoint)
        if error is not None and error.blame == "deployment":
            self._retries.failed(endpoint)
            self._throttle.record(deployment.name, not is_overload(error))
        elif outcome in ("ok", "escalated"):
            self._retries.succeeded(endpoint)
            self._throttle.record(deployment.name, accepted=True)
        else:
            self._retries.left(endpoint)

    def note(self, deployment: Deployment, headers: Mapping[str, str]) -> None:
        """What an answer's headers say about limits."""
        if headers:
            self._headroom.note(deployment.name, headers)


def endpoint_of(deployment: Deployment) -> str:
    """Deployments behind one endpoint share its trouble."""
    return f"{deployment.provider} {deployment.options.get('base_url') or ''}"
