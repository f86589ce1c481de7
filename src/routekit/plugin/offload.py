"""Plain functions and iterators, run in a thread on behalf of an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
_END = object()


def in_event_loop() -> bool:
    """Whether this thread runs an event loop at this moment, which must not be kept waiting."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def offload(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The function's result, computed in a worker thread."""
    return await asyncio.to_thread(function, *args, **kwargs)


async def pump(make: Callable[[], Iterator[T]]) -> AsyncIterator[T]:
    """A synchronous iterator as an asynchronous one: every step runs in a worker thread.

    The iterator is closed when the consumer stops early, after the step under way.
    """
    iterator = await asyncio.to_thread(make)
    step: asyncio.Future[object] | None = None
    try:
        while True:
            step = asyncio.ensure_future(asyncio.to_thread(next, iterator, _END))
            item = await asyncio.shield(step)
            step = None
            if item is _END:
                return
            yield item  # type: ignore[misc]  # the sentinel was handled above
    finally:
        close = getattr(iterator, "close", None)
        if close is not None:
            if step is not None and not step.done():
                step.add_done_callback(lambda _: close())
            else:
                close()
