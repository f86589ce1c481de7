"""The port: what one core needs of the world, as a protocol."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple, ParamSpec, Protocol, TypeVar

from routekit.plugin import (
    Budget,
    Cache,
    Candidate,
    Chunk,
    Embeddings,
    Provider,
    ProviderCall,
    RouteRequest,
    Signals,
    Strategy,
)
from routekit.types import Answer, CacheEntry, CacheKey, Deployment, Reservation

T = TypeVar("T")
P = ParamSpec("P")


class Watch(NamedTuple):
    """Gives a silent call up early: from `after_s` seconds on, `gone` is asked again and again."""

    after_s: float
    gone: Callable[[], bool]


WATCH_S = 0.02
"""How often a watch looks, at most; otherwise a quarter of `after_s`."""


class IO(Protocol):
    """Everything that may take time."""

    is_async: bool

    def me(self) -> object:
        """The thread or task that this runs in."""
        ...

    async def complete(self, provider: Provider, call: ProviderCall, watch: Watch | None = None) -> Answer:
        """The whole answer. Raises TimeoutError where a limit is enforced here; only tasks can be watched."""
        ...

    def open(self, provider: Provider, call: ProviderCall) -> Handle: ...

    async def next(self, handle: Handle, timeout_s: float | None = None, watch: Watch | None = None) -> Chunk | None:
        """The next chunk, or None at the end. Raises TimeoutError where `timeout_s` is enforced here."""
        ...

    def discard(self, handle: Handle) -> None:
        """Closes a stream without waiting for it."""
        ...

    async def either(
        self, ask: Callable[P, T], aask: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """What the one of the two says that may wait as this face does."""
        ...

    async def get(self, cache: Cache, key: CacheKey) -> CacheEntry | None: ...

    async def set(self, cache: Cache, key: CacheKey, entry: CacheEntry) -> None: ...

    async def embed(
        self, provider: Provider, deployment: Deployment, texts: Sequence[str], timeout_s: float | None
    ) -> Embeddings: ...

    async def begin(self, budget: Budget, reservation: Reservation) -> None: ...

    async def renew(self, budget: Budget, reservation: Reservation) -> None: ...

    async def gather(
        self, strategy: Strategy, request: RouteRequest, candidates: Sequence[Candidate], signals: Signals
    ) -> Signals: ...

    async def sleep(self, seconds: float) -> None: ...

    async def within(self, seconds: float | None, work: Awaitable[T]) -> T:
        """The result of `work`. Raises TimeoutError where it takes longer, if it can be interrupted at all."""
        ...

    async def race(
        self,
        first: Callable[[IO], Awaitable[T]],
        second: Callable[[IO], Awaitable[T | None]],
        delay_s: float,
        unwanted: Callable[[IO, T], None],
    ) -> T:
        """The result of whichever succeeds first; `second` starts after `delay_s`, or not at all.

        The other one is cancelled and waited for; a result of its own goes to `unwanted`. A `second`
        that returns None had nothing to do. Where both fail, the error of `first` is raised. The
        functions get the IO that they must wait with.
        """
        ...

    async def wait(self, future: concurrent.futures.Future[T], timeout_s: float | None) -> T:
        """The future's result. Raises TimeoutError; the future itself goes on."""
        ...

    async def offload(self, function: Callable[[], T]) -> T:
        """Runs something slow where it holds nobody up."""
        ...


Handle = Any
"""An open provider stream: an iterator, or an asynchronous one."""
