"""What deployments were found not to take: parameters and features that they refused, for as long as it is news."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from routekit.engine.plan.planner import needed_capabilities
from routekit.errors import UnsupportedParameterError
from routekit.types import Clock, Deployment, RouteRequest
from routekit.types.sending import LIMITS

KEPT_S = 3600.0
"""After an hour it is tried again: servers are updated."""

MENDS = 4
"""One request is sent so many times anew for what it was refused for; who refuses more takes nothing."""

_KEPT = frozenset({*LIMITS, "service_tier", "n", "tools", "messages", "model", "system", "response_format"})
"""Never left out unasked: an answer, or its price, would be another one."""

_HARMLESS = frozenset({"stream_options"})
"""Left out even where the caller asked for it: what it asks for is reckoned here, and marked as estimated."""

_FEATURES = {"json_schema": "response_format", "json_object": "response_format", "logprobs": "logprobs"}
NOTHING: Mapping[str, str] = {}


class Changes(NamedTuple):
    """What is not sent to a deployment, and what is sent under another name."""

    omit: frozenset[str] = frozenset()
    rename: Mapping[str, str] = NOTHING


NO_CHANGES = Changes()


class _Found:
    """What one deployment refused. `values` has a parameter's refused value, or None where it takes none at all."""

    __slots__ = ("changes", "until", "values")

    def __init__(self, until: float) -> None:
        self.changes = NO_CHANGES
        self.values: dict[str, str | None] = {}
        self.until = until


class Declined:
    """Learned from refusals, per deployment of this router. Safe in threads: what is found is only replaced."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._found: dict[str, _Found] = {}

    def changes(self, deployment: Deployment) -> Changes:
        """How requests to this deployment are changed: by configuration, and by what it refused."""
        found = self._found.get(deployment.name) if self._found else None
        if found is None or found.until < self._clock.monotonic():
            if not deployment.drop_params and not deployment.rename_params:
                return NO_CHANGES
            return Changes(deployment.drop_params, deployment.rename_params)
        learned = found.changes
        return Changes(
            learned.omit | deployment.drop_params, {**learned.rename, **deployment.rename_params}
        )  # fmt: skip

    def mends(self, request: RouteRequest, deployment: Deployment, error: UnsupportedParameterError) -> str:
        """Learns from a refusal. Why the same deployment may be asked again at once, "" where it may not.

        What nobody asked for is left out there; what has another name there gets it. What the caller asked
        for is not taken from them: somebody else is asked.
        """
        name, instead = error.parameter, error.instead
        if not name:
            return ""
        found = self._found.get(deployment.name)
        if found is None or found.until < self._clock.monotonic():
            found = self._found[deployment.name] = _Found(self._clock.monotonic() + KEPT_S)
        omit, rename = found.changes
        if instead and {name, instead} <= set(LIMITS) and rename.get(name) != instead:
            found.changes = Changes(omit, {**{k: v for k, v in rename.items() if k != instead}, name: instead})
            return f"{deployment.name} does not take {name}; it is sent as {instead} there"
        if not _asked(request, name) or name in _HARMLESS:
            if name in omit or name in _KEPT:
                return ""
            found.changes = Changes(omit | {name}, rename)
            return f"{deployment.name} does not take {name}; it is left out there"
        if name not in LIMITS:  # a limit that is too high says nothing about a lower one
            value = repr(_given(request, name))[:200] if error.by_value else None
            found.values = {**found.values, name: value}
        return ""

    def refuses(self, request: RouteRequest) -> Mapping[str, str]:
        """The deployments that will refuse this request, with the reason, as far as is known. Usually empty."""
        if not self._found:
            return NOTHING
        now = self._clock.monotonic()
        refusing: dict[str, str] = {}
        needed: frozenset[str] | None = None
        for deployment, found in tuple(self._found.items()):
            if found.until < now:
                continue
            for name, value in found.values.items():
                if needed is None:
                    needed = needed_capabilities(request)
                if name not in needed and not _asked(request, name):
                    continue
                if value is None or value == repr(_given(request, name))[:200]:
                    refusing[deployment] = f"does not take {name}{'' if value is None else '=' + value}, as it said"
                    break
        return refusing


def _asked(request: RouteRequest, name: str) -> bool:
    """Whether the caller asked for it."""
    if name == "tools":
        return bool(request.tools)
    if name in ("messages", "model", "stream"):
        return True
    if name == "system":
        return any(message.get("role") in ("system", "developer") for message in request.messages)
    return _given(request, name) is not None or name in needed_capabilities(request)


def _given(request: RouteRequest, name: str) -> object:
    params = request.params
    name = _FEATURES.get(name, name)
    extra = params.get("extra_body")
    beside = extra.get(name) if isinstance(extra, Mapping) else None
    return params.get(name) if params.get(name) is not None else beside
