"""An event loop whose time is virtual and whose order is drawn from a seed.

Nothing is ever waited for: where no callback is ready, the clock jumps to the next timer. Tasks that
are ready at the same moment run in an order drawn from the seed, so that other seeds show other
interleavings and the same seed shows the same one again. FoundationDB's simulator made this way of
testing known ("FoundationDB: A Distributed Unbundled Transactional Key Value Store", SIGMOD 2021).
"""

from __future__ import annotations

import asyncio
import random
import selectors
import threading
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

from routekit.testing.clock import VirtualClock

T = TypeVar("T")


class LoopClock(VirtualClock):
    """The clock of a `VirtualLoop`: tasks that sleep on it sleep beside each other, not after each other."""

    async def asleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on `clock`, with the order of ready tasks drawn from `seed`.

    Only what happens inside this loop exists: no sockets, no subprocesses. What is handed to a worker
    thread (``asyncio.to_thread``) runs at once, on the loop's own thread.

    >>> async def later() -> str:
    ...     await asyncio.sleep(3600)
    ...     return "an hour later"
    >>> run_virtual(later())
    'an hour later'

    Raises:
        RuntimeError: every task waits for something that will never happen.
    """

    def __init__(self, clock: LoopClock | None = None, *, seed: int = 0) -> None:
        self.virtual = clock or LoopClock()
        self._order = random.Random(f"order {seed}")
        self._owner = threading.get_ident()
        super().__init__(_Jumping(self))
        self._clock_resolution = 1e-9  # timers fire when they are due, not a tick of the real clock early

    def time(self) -> float:
        return self.virtual.monotonic()

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]  # narrower than typeshed's: a future of this loop
        """Runs the function now: a thread would end whenever the machine pleases."""
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    def jump(self, timeout_s: float | None) -> None:
        """What selecting means here: the clock goes on to the next timer, and ready tasks change places."""
        ready = self._ready  # type: ignore[attr-defined]  # typeshed leaves out what loops are made of
        if timeout_s is None and not ready:
            raise RuntimeError("every task waits for something that will never happen")
        if timeout_s:
            self.virtual.advance(timeout_s)
        places = [place for place, handle in enumerate(ready) if _is_step(handle)]
        if len(places) > 1:
            steps = [ready[place] for place in places]
            self._order.shuffle(steps)
            for place, handle in zip(places, steps, strict=True):
                ready[place] = handle

    def _write_to_self(self) -> None:
        """Nobody has to be woken: other threads have no part in this loop."""
        if threading.get_ident() != self._owner:
            raise RuntimeError("a virtual loop was called from another thread")


def run_virtual(main: Coroutine[Any, Any, T], *, clock: LoopClock | None = None, seed: int = 0) -> T:
    """The result of a coroutine on a `VirtualLoop` of its own. Tasks it leaves behind are cancelled."""
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(clock, seed=seed)) as runner:
        return runner.run(main)


def _is_step(handle: Any) -> bool:
    """Whether it is a task's turn. The order of other callbacks is promised by asyncio and kept.

    A task has at most one turn pending, so changing places never changes the order within one task.
    """
    return isinstance(getattr(handle._callback, "__self__", None), asyncio.Task)


class _Jumping(selectors.BaseSelector):
    """Knows no file that is ever ready; to wait is to let virtual time pass."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self._keys: dict[int, selectors.SelectorKey] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        number = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        key = self._keys[number] = selectors.SelectorKey(fileobj, number, events, data)
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys.pop(fileobj if isinstance(fileobj, int) else fileobj.fileno())

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._loop.jump(timeout)
        return []

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._keys

    def close(self) -> None:
        self._keys.clear()
