"""The router: the face of the engine, and where configuration becomes living parts."""

from __future__ import annotations

import functools
import logging
import os
import random
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from routekit.assembly import Parts
from routekit.call_options import Messages, request_of
from routekit.catalog.catalog import Catalog
from routekit.config import Config
from routekit.config.load import home_of
from routekit.engine.attempts.answer_checks import AnswerPolicy, Check
from routekit.engine.embeddings import texts_of
from routekit.engine.engine import Engine
from routekit.engine.health.health import HealthRow
from routekit.engine.in_flight import Traffic
from routekit.engine.io.asyncio_io import AsyncIO
from routekit.engine.io.port import IO
from routekit.engine.io.sync_io import SyncIO, in_event_loop, run_sync
from routekit.engine.plan.deployments import Deployments
from routekit.engine.stream.handles import AsyncStream, Stream
from routekit.engine.stream.live import RunningStream
from routekit.errors import ConfigError, InvalidInputError, RoutekitError
from routekit.pickling import reduced
from routekit.plugin import Budget, Cache, Provider, SemanticCache, Strategy, reaper
from routekit.plugin.manager import discover
from routekit.plugin.registry import Registry
from routekit.strategy_lookup import Strategies
from routekit.types import (
    Clock,
    Deployment,
    EmbeddingResult,
    RouteDecision,
    RouteRequest,
    RouteResult,
    SystemClock,
)

DRAIN_S = 30.0
"""How long closing waits for requests under way."""

_EMBED_OPTIONS = frozenset({"scopes", "deadline_s", "max_cost_usd", "requirements", "metadata", "session", "step"})
_log = logging.getLogger("routekit.router")


class Router:
    """Decides, for every request, which deployment answers, and asks it.

    Without arguments it is built from the nearest ``routekit.toml``, else from the API keys in the
    environment, else from the local models. One router serves threads, tasks and event loops.

    `config` is a `Config`, a dictionary of the file's shape, or a path. `plugins` are extra modules
    or objects with routekit hooks, on top of the installed ones. `providers` maps deployment names
    to ready provider objects, for tests. `clock`, `seed` and `env` stand in for the machine's.
    `answer_checks` are functions of an `Answer` that return true, or a reason, where it is no answer:
    then the next deployment is asked.

    Raises:
        ConfigError: the configuration is wrong; the message says where and what to do.
        PluginError: a plugin it names is missing or broken.
    """

    def __init__(
        self,
        config: Config | Mapping[str, Any] | str | os.PathLike[str] | None = None,
        *,
        plugins: Iterable[Any] = (),
        providers: Mapping[str, Provider] | None = None,
        clock: Clock | None = None,
        seed: int | None = None,
        env: Mapping[str, str] | None = None,
        answer_checks: Iterable[Check] = (),
    ) -> None:
        answers = AnswerPolicy(checks=answer_checks)
        plugins, given = tuple(plugins), dict(providers or {})
        self._given_env = env
        self._env = os.environ if env is None else env
        if config is None:
            config = Config.find(self._env)
        elif isinstance(config, Mapping):
            config = Config.from_dict(config)
        elif not isinstance(config, Config):
            config = Config.from_file(config)
        self.config = config
        self.clock = clock or SystemClock()
        self.registry: Registry = discover(self._env, plugins)
        self.home = home_of(self._env)
        self._parts = Parts(config, self.registry, env=self._env, home=self.home, clock=self.clock)
        self.deployments: tuple[Deployment, ...] = config.to_deployments(self.registry, Catalog.load())
        if not self.deployments:
            raise ConfigError(
                "no deployments are configured", key="deployments", file=config.file,
                fix="Add a [[deployments]] table, or run `routekit init`.",
            )  # fmt: skip
        self._arguments = {
            "config": config, "plugins": plugins, "providers": given, "clock": clock, "seed": seed,
            "answer_checks": tuple(answers.checks),
        }  # fmt: skip
        self._deployments = Deployments(
            self.deployments, functools.partial(self._parts.make, "provider"), given, aliases=config.all_aliases(),
            fallbacks={name: table.fallback for name, table in config.groups.items()},
        )  # fmt: skip
        self._sync, self._async = SyncIO(self.clock), AsyncIO(self.clock)
        self._closed = False
        self._strategies = Strategies(config, self._parts)
        self.default_strategy: Strategy = self._strategies.default
        scopes = [table.to_scope() for table in config.budgets]
        caches = self.caches()
        self._check_meaning(caches)
        self._engine = Engine(
            deployments=self.deployments,
            provider_of=self._deployments.provider,
            pool_of=self._deployments.pool,
            clock=self.clock,
            settings=config.engine_settings(),
            caches=caches,
            compressors=self._parts.compressors(self.deployments),
            budget=self.budget_store() if scopes else None,
            scopes=scopes,
            guards=self._parts.listed("guard", config.guards),
            observers=self._parts.observers(stands_in=env is not None or providers is not None),
            scorer=self._parts.scorer(),
            rng=random.Random(seed) if seed is not None else None,
            home=self.home,
            shared=self._parts.store("shared", config.router.shared) if config.router.shared else None,
            cache_secret=self._parts.cache_secret,
            embedder_of=self._deployments.embedder,
            embedders_of=self._deployments.embedders,
            answers=AnswerPolicy(config.reliability.fall_back_on, answers.checks),
        )
        reaper.start()
        # Nothing here may lead back to the router, or it would never be forgotten. And the collector, which may run
        # anywhere, only hands the closing over.
        close = functools.partial(_close_all, self._deployments, (self._sync.close, *self._engine.closers))
        self._close_parts = functools.partial(_close_when_quiet, self._engine.traffic, close)
        self._finalizer = weakref.finalize(self, reaper.later, self._close_parts)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], **kwargs: Any) -> Self:
        """From a ``routekit.toml``. Raises ConfigError where something in it is wrong."""
        return cls(Config.from_file(path), **kwargs)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], **kwargs: Any) -> Self:
        """From a dictionary of the file's shape."""
        return cls(Config.from_dict(data), **kwargs)

    def complete(self, messages: Messages, **options: Any) -> RouteResult:
        """The whole answer. `messages` is a prompt or a list of Chat Completions messages.

        Keyword arguments: `strategy` (a name, an instance, or a table with `use`), `model` (a
        deployment, a model id or a group), `group`, `tools`, `deadline_s`, `scopes`, `max_cost_usd`,
        `requirements`, `step`, `session`, `metadata`, `cache` ("use", "bypass", "refresh", "only"),
        `cache_ttl_s`, `cache_namespace`,
        `on_interrupt` (of streams: "error", "continue", "restart"), `extra_headers`, `extra_body`; clients'
        `timeout` and `system` are taken for `deadline_s` and a system message. Others are parameters of Chat
        Completions or of known vendors (`routekit.types.parameters`); names that are neither are refused.

        Raises:
            InvalidInputError: an argument cannot be used.
            RoutingError: nobody could answer, or was allowed to.
            ProviderError: a refusal that another deployment would repeat (a bad request, a filter).
        """
        request, strategy = self._request(messages, options)
        return run_sync(self._engine.complete(self._sync, request, strategy))

    async def acomplete(self, messages: Messages, **options: Any) -> RouteResult:
        """Like `complete`, awaited."""
        request, strategy = self._request(messages, options)
        return await self._engine.complete(self._async, request, strategy)

    def stream(self, messages: Messages, **options: Any) -> Stream:
        """The answer in pieces; see `complete` for arguments and `Stream` for what is returned.

        Raises, while it is read:
            StreamInterruptedError: the upstream broke off after content was handed over.
        """
        request, strategy = self._request(messages, options, stream=True)
        return Stream(functools.partial(self._opened, self._sync, request, strategy), self)

    def astream(self, messages: Messages, **options: Any) -> AsyncStream:
        """Like `stream`, for ``async for``."""
        request, strategy = self._request(messages, options, stream=True)
        return AsyncStream(functools.partial(self._opened, self._async, request, strategy), self)

    def explain(self, messages: Messages, **options: Any) -> RouteDecision:
        """The decision that `complete` would make now, by the same code; no provider is called."""
        request, strategy = self._request(messages, options)
        return run_sync(self._engine.explain(self._sync, request, strategy))

    def embed(
        self, texts: str | Sequence[str], *, model: str | None = None, embedder: str | None = None, **options: Any
    ) -> EmbeddingResult:
        """The vectors of a text, or of many, with what they cost; guarded, routed, held for and recorded as an answer.

        `model` (or `embedder`) names a deployment, a model id or a group; without one the first configured
        deployment that makes embeddings is meant, else the local sentence model. Another deployment of the same
        model takes over where one fails. More texts than one call takes are sent in several. `scopes`,
        `deadline_s`, `max_cost_usd`, `requirements` and `metadata` are as for `complete`.

        Raises:
            InvalidInputError: an argument cannot be used.
            RoutingError: nobody could make them, or was allowed to. ProviderError: a refusal.
        """
        request, name = self._embedding(texts, model or embedder, options)
        return run_sync(self._engine.embed(self._sync, request, name, single=isinstance(texts, str)))

    async def aembed(
        self, texts: str | Sequence[str], *, model: str | None = None, embedder: str | None = None, **options: Any
    ) -> EmbeddingResult:
        """Like `embed`, awaited."""
        request, name = self._embedding(texts, model or embedder, options)
        return await self._engine.embed(self._async, request, name, single=isinstance(texts, str))

    def caches(self) -> list[tuple[str, Cache]]:
        """The configured caches, opened anew to be looked at, nearest first; the caller closes them."""
        return self._parts.caches()

    def budget_store(self) -> Budget:
        """The configured budget store, opened anew to be looked at; the caller closes it."""
        store: Budget = self._parts.store("budget", self.config.router.budget_store)
        return store

    def original(self, handle: str) -> str | None:
        """The whole text of a tool's result that was shortened, by the handle that stands in the short one.

        None where it is no longer kept. `RETRIEVE_ORIGINAL` is the definition of a tool that asks for it.
        """
        return self._engine.original(handle)

    def health(self) -> list[HealthRow]:
        """One row per deployment: state, reason, until when, latency percentiles, calls in flight."""
        return self._engine.health.rows()

    def provider_of(self, deployment: Deployment | str) -> Provider:
        """The provider object that serves a deployment (by name or itself)."""
        if isinstance(deployment, str):
            deployment = self.deployment(deployment)
        return self._deployments.provider(deployment)

    def deployment(self, name: str) -> Deployment:
        """The deployment of that name. Raises InvalidInputError where there is none."""
        return self._deployments.named(name)

    def resolve_strategy(self, spec: str | Strategy | Mapping[str, Any] | None) -> Strategy:
        """The strategy that a name, an instance or a table (`use` and options) means; None: the default.

        Raises:
            PluginNotFoundError: nobody registered the name. ConfigError: its options are wrong.
        """
        return self._strategies.resolve(spec)

    @property
    def strategy_names(self) -> list[str]:
        """Every name that `strategy=` takes: configured ones and plugins."""
        return self._strategies.names

    def close(self, drain_s: float = DRAIN_S) -> None:
        """Closes connections, caches and budgets. Idempotent; a closed router refuses requests.

        Requests and streams that other threads have under way may end first, within `drain_s` seconds;
        the caller's own streams are ended at once, and reading on raises StreamInterruptedError. Requests that
        are under way for longer end as they would have, and what they need is closed behind the last of them. From
        an event loop, whose requests could not end while it waits here, use `aclose`.
        """
        if not self._closed:
            self._closed = True
            run_sync(self._engine.drain(self._sync, 0.0 if in_event_loop() else drain_s))
        if self._finalizer.detach() is not None:
            self._close_parts()

    async def aclose(self, drain_s: float = DRAIN_S) -> None:
        """Like `close`, and waits for what belongs to this event loop."""
        if not self._closed:
            self._closed = True
            await self._engine.drain(self._async, drain_s)
        if self._finalizer.detach() is None:
            return
        try:
            if self._engine.traffic.is_quiet:
                for provider in self._deployments.close():
                    try:
                        await provider.aclose()
                    except Exception as error:
                        _log.warning("closing %s failed (%s)", type(provider).__qualname__, type(error).__name__)
        finally:
            self._close_parts()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.aclose()

    def __reduce__(self) -> tuple[Any, ...]:
        return reduced(self, self._arguments, self._given_env)

    def __copy__(self) -> Self:
        return self  # a router is a thing, as a file is: whoever copies what holds it shares it

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __repr__(self) -> str:
        return f"Router({len(self.deployments)} deployments, default {self.default_strategy!r})"

    async def _opened(self, io: IO, request: RouteRequest, strategy: Strategy) -> RunningStream:
        self._refuse_if_closed()  # a stream starts when it is first read, which may be late
        return await self._engine.open(io, request, strategy)

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise InvalidInputError("this router is closed; make a new one")

    def _embedding(
        self, texts: str | Sequence[str], name: str | None, options: dict[str, Any]
    ) -> tuple[RouteRequest, str | None]:
        self._refuse_if_closed()
        unknown = options.keys() - _EMBED_OPTIONS
        if unknown:
            raise InvalidInputError(
                f"embed takes no {', '.join(sorted(unknown))}; known: model, {', '.join(sorted(_EMBED_OPTIONS))}"
            )
        messages: list[Any] = [{"role": "user", "content": text} for text in texts_of(texts)]
        _, request = request_of(messages, {**options, "model": name}, self.config.router, False)
        return request, name

    def _request(
        self, messages: Messages, options: dict[str, Any], stream: bool = False
    ) -> tuple[RouteRequest, Strategy]:
        self._refuse_if_closed()
        spec, request = request_of(messages, options, self.config.router, stream)
        strategy = self._strategies.of_call(spec, request, self._deployments.meant)
        object.__setattr__(request, "strategy", strategy.name)  # nobody has seen the request yet
        return request, strategy

    def _check_meaning(self, caches: Sequence[tuple[str, Cache]]) -> None:
        """The deployments that caches name, before a request finds out."""
        for name, cache in caches:
            if isinstance(cache, SemanticCache):
                for key, wanted in (("embedder", cache.embedder), ("verifier", cache.verifier)):
                    try:
                        if wanted is not None:
                            self._deployments.members(None, wanted) if key == "verifier" else self.deployment(wanted)
                    except RoutekitError as error:
                        raise ConfigError(str(error), key=f"cache.{name}.{key}", file=self.config.file) from None


def _close_all(deployments: Deployments, closers: Iterable[Callable[[], None]]) -> None:
    """Closes everything, whatever single parts raise."""
    for close in (*(provider.close for provider in deployments.close()), *closers):
        try:
            close()
        except Exception as error:
            _log.warning("closing %s failed (%s)", getattr(close, "__qualname__", close), type(error).__name__)


def _close_when_quiet(traffic: Traffic, close: Callable[[], None]) -> None:
    """Closes as soon as nothing is under way: what a call still needs, its end in the ledger too, stays until then."""
    if traffic.is_quiet:
        close()
    else:
        traffic.when_quiet(functools.partial(reaper.later, close))
