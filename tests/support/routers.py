"""Routers on scripted providers, and one face for sync and async."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from routekit import Router
from routekit.plugin import Provider
from routekit.testing import ScriptedProvider, VirtualClock, plugin_module
from routekit.types import Chunk, RouteResult


def scripted_router(
    providers: Mapping[str, Provider],
    *,
    config: Mapping[str, Any] | None = None,
    plugins: Iterable[Any] = (),
    seed: int = 1,
    **deployments: Any,
) -> Router:
    """A router whose deployments are the given providers, in that order, on one virtual clock.

    Each gets price and quality by its place: the first is the cheapest and weakest. Keyword
    arguments override single deployments' tables: ``a={"quality": 0.9}``.
    """
    clock = VirtualClock()
    tables = []
    for place, (name, provider) in enumerate(providers.items(), start=1):
        if isinstance(provider, ScriptedProvider):
            provider.clock = clock
        table = {
            "name": name,
            "provider": "scripted",
            "model": f"model-{name}",
            "quality": round(place / (len(providers) + 1), 3),
            "price": {"input": place, "output": 2 * place},
            "context_window": 100_000,
        }
        tables.append({**table, **deployments.get(name, {})})
    return Router(
        {"deployments": tables, **(config or {})},
        plugins=[plugin_module(ScriptedProvider()), *plugins],
        providers=providers,
        clock=clock,
        seed=seed,
        env={
            "ROUTEKIT_PLUGINS": "",
            "ROUTEKIT_HOME": os.environ.get("ROUTEKIT_HOME", ""),
        },
    )


class SyncFace:
    """Calls a router as a plain program does."""

    name = "sync"

    def complete(self, router: Router, *args: Any, **kwargs: Any) -> RouteResult:
        return router.complete(*args, **kwargs)

    def stream(
        self, router: Router, *args: Any, on_chunk: Callable[[Chunk], None] | None = None, **kwargs: Any
    ) -> tuple[list[Chunk], RouteResult]:
        chunks = []
        with router.stream(*args, **kwargs) as stream:
            for chunk in stream:
                chunks.append(chunk)
                if on_chunk:
                    on_chunk(chunk)
        return chunks, stream.result

    def read(self, router: Router, count: int, *args: Any, **kwargs: Any) -> list[Chunk]:
        """Reads so many chunks of a stream, then walks away."""
        with router.stream(*args, **kwargs) as stream:
            return [next(stream) for _ in range(count)]


class AsyncFace:
    """Calls a router from an event loop."""

    name = "async"

    def complete(self, router: Router, *args: Any, **kwargs: Any) -> RouteResult:
        return asyncio.run(router.acomplete(*args, **kwargs))

    def stream(
        self, router: Router, *args: Any, on_chunk: Callable[[Chunk], None] | None = None, **kwargs: Any
    ) -> tuple[list[Chunk], RouteResult]:
        async def main() -> tuple[list[Chunk], RouteResult]:
            chunks = []
            async with router.astream(*args, **kwargs) as stream:
                async for chunk in stream:
                    chunks.append(chunk)
                    if on_chunk:
                        on_chunk(chunk)
            return chunks, stream.result

        return asyncio.run(main())

    def read(self, router: Router, count: int, *args: Any, **kwargs: Any) -> list[Chunk]:
        async def main() -> list[Chunk]:
            async with router.astream(*args, **kwargs) as stream:
                found = [await anext(stream) for _ in range(count)]
            await asyncio.sleep(0.01)  # what was discarded gets its turn to close
            return found

        return asyncio.run(main())


FACES = [SyncFace(), AsyncFace()]
