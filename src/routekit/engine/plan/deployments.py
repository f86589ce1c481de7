"""The deployments of one router: found by name, group or model, each with the provider that serves it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from routekit.engine.plan.planner import Pool
from routekit.errors import InvalidInputError, NoCandidateError
from routekit.plugin import Provider, new_lock_after_fork
from routekit.types import Deployment, Model, Price, RouteRequest

MakeProvider = Callable[[str, dict[str, Any]], Provider]
"""Makes the provider of that name with these options."""

LOCAL_EMBEDDER = Deployment(
    name="local embedder",
    provider="local",
    model=Model(id="all-minilm-l6-v2", capabilities=frozenset({"embeddings"}), price=Price(input=0, output=0)),
)
"""What makes vectors where no other deployment is named for it."""


class Deployments:
    """Safe in threads. Providers are made when first needed, once; `given` are ready ones, by deployment name.

    It outlives its router while calls are under way, so nothing here refers to the router.
    """

    def __init__(
        self,
        deployments: Sequence[Deployment],
        make: MakeProvider,
        given: Mapping[str, Provider] | None = None,
        *,
        aliases: Mapping[str, str] | None = None,
        fallbacks: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self._aliases = dict(aliases or {})
        self._fallbacks = {name: tuple(groups) for name, groups in (fallbacks or {}).items() if groups}
        self.all = tuple(deployments)
        self._make = make
        self._given = dict(given or {})
        self._by_name = {deployment.name: deployment for deployment in self.all}
        self._pools: dict[tuple[str | None, str | None], Pool] = {}
        self._providers: dict[str, Provider] = {}
        self._closed = False
        self._lock = threading.Lock()
        new_lock_after_fork(self)

    def named(self, name: str) -> Deployment:
        """The deployment of that name. Raises InvalidInputError where there is none."""
        found = self._by_name.get(name)
        if found is None:
            raise InvalidInputError(f"no deployment is called {name!r}; known: {', '.join(self._by_name)}")
        return found

    def meant(self, name: str) -> str:
        """What a name stands for: itself, unless it is an alias."""
        return self._aliases.get(name, name)

    def pool(self, request: RouteRequest) -> Pool:
        """The deployments that the request's model or group means. Raises NoCandidateError: it means none."""
        key = (request.group, request.model)
        pool = self._pools.get(key)
        if pool is None:
            pool = self._pools[key] = Pool(self.members(*key), self.all, self._behind(*key))
        return pool

    def _behind(self, group: str | None, model: str | None) -> list[Pool]:
        """The groups that are asked behind the one that was named, in order."""
        name = self._aliases.get(model or "", model) or self._aliases.get(group or "", group) or "default"
        named = any(d.name == name or d.model.id == name for d in self.all)
        if not self._fallbacks or (named and model is not None):
            return []
        return [Pool(self.members(other, None), self.all) for other in self._fallbacks.get(name, ())]

    def members(self, group: str | None, model: str | None) -> list[Deployment]:
        """What a group, or a model within it, means. Raises NoCandidateError: nothing."""
        if self._aliases:
            model = self._aliases.get(model, model) if model is not None else None
            group = self._aliases.get(group, group) if group is not None else None
        if model is not None:
            inside = [d for d in self.all if group is None or d.group == group]
            for found in (
                [d for d in inside if d.name == model],
                [d for d in inside if d.model.id == model],
                [d for d in self.all if d.group == model],
                [d for d in self.all if d.name == model or d.model.id == model],
            ):
                if found:
                    return found
            known = sorted({n for d in self.all for n in (d.name, d.model.id, d.group)})
            raise NoCandidateError(
                f"model={model!r} names no deployment, no model id and no group; known: {', '.join(known)}"
            )
        if group is None:
            default = [d for d in self.all if d.group == "default"]
            return default or list(self.all)
        found = [d for d in self.all if d.group == group]
        if not found:
            groups = ", ".join(sorted({d.group for d in self.all}))
            raise NoCandidateError(f"group {group!r} has no deployments; known groups: {groups}")
        return found

    def embedder(self, name: str | None) -> Deployment:
        """The deployment that makes vectors; None: the local sentence model, which costs nothing."""
        return LOCAL_EMBEDDER if name is None else self.named(name)

    def embedders(self, name: str | None) -> list[Deployment]:
        """Those that make the vectors that a name means, all of one model: two models' cannot be compared.

        None: of the first configured deployment that makes any, else the local sentence model.

        Raises:
            NoCandidateError: the name means nothing, or nobody who makes vectors.
        """
        able = [
            d for d in (self.all if name is None else self.members(None, name)) if "embeddings" in d.model.capabilities
        ]
        if not able:
            if name is None:
                return [LOCAL_EMBEDDER]
            raise NoCandidateError(f"model={name!r} makes no embeddings; its `capabilities` must name them")
        return [d for d in able if d.model.id == able[0].model.id]

    def provider(self, deployment: Deployment) -> Provider:
        """The provider that serves a deployment.

        Raises:
            PluginError, ConfigError: it cannot be made. InvalidInputError: everything is closed.
        """
        given = self._given.get(deployment.name)
        if given is not None:
            return given
        found = self._providers.get(deployment.name)
        if found is None:
            with self._lock:
                found = self._providers.get(deployment.name) or self._new_provider(deployment)
        return found

    def _new_provider(self, deployment: Deployment) -> Provider:
        """Deployments with the same provider and options share one object, and with it its connections."""
        if self._closed:
            raise InvalidInputError("this router is closed; make a new one")
        options = dict(deployment.options)
        identity = f"{deployment.provider} {json.dumps(options, sort_keys=True, default=repr)}"
        provider = self._providers.get(identity)
        if provider is None:
            provider = self._providers[identity] = self._make(deployment.provider, options)
        self._providers[deployment.name] = provider
        return provider

    def adopt(self, name: str, provider: Provider) -> None:
        """Takes a provider over as if it had been made here: it is closed with the others."""
        with self._lock:
            self._providers[name] = provider

    def close(self) -> list[Provider]:
        """Makes no more providers; those that were made, each once, for the caller to close. Idempotent."""
        with self._lock:
            self._closed = True
            made = list({id(provider): provider for provider in self._providers.values()}.values())
            self._providers.clear()
            return made
