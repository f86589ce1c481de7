"""Deployments that this machine is not set up for: a key that is missing is known without asking."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

from routekit.plugin import Provider
from routekit.types import Deployment, RejectionCode

_log = logging.getLogger("routekit.setup")
NOTHING: Mapping[str, tuple[RejectionCode, str]] = {}


class Setup:
    """Asks each provider what is missing, until nothing is: then a deployment costs nothing here any more.

    What is missing is said once per deployment; it may be set later, so it is looked at again for each request.
    """

    def __init__(self, provider_of: Callable[[Deployment], Provider] | None) -> None:
        self._provider_of = provider_of
        self._ready: set[str] = set()
        self._told: set[str] = set()

    def missing(self, deployments: Sequence[Deployment]) -> Mapping[str, tuple[RejectionCode, str]]:
        """Which of them cannot be called, and why."""
        if self._provider_of is None or (len(self._ready) >= len(deployments) and self._all_ready(deployments)):
            return NOTHING
        found: dict[str, tuple[RejectionCode, str]] = {}
        for deployment in deployments:
            if deployment.name in self._ready:
                continue
            why = self._problem(deployment)
            if why is None:
                self._ready.add(deployment.name)
                continue
            found[deployment.name] = ("setup", why)
            if deployment.name not in self._told:
                self._told.add(deployment.name)
                _log.warning("deployment %r is left out: %s", deployment.name, why)
        return found

    def _all_ready(self, deployments: Sequence[Deployment]) -> bool:
        ready = self._ready
        return all(deployment.name in ready for deployment in deployments)

    def _problem(self, deployment: Deployment) -> str | None:
        assert self._provider_of is not None
        try:
            return self._provider_of(deployment).missing_setup(deployment)
        except Exception:  # a plugin that cannot be made says so when it is called, with its cause
            return None
