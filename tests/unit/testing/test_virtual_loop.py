from __future__ import annotations

import asyncio
import threading

import pytest

from routekit.testing.virtual_loop import LoopClock, VirtualLoop, run_virtual


def test_sleeps_beside_each_other_and_lands_on_the_moment() -> None:
    async def main() -> tuple[list[float], float]:
        clock_s = asyncio.get_running_loop().time

        async def nap(seconds: float) -> float:
            await asyncio.sleep(seconds)
            return clock_s()

        return await asyncio.gather(nap(3600), nap(1), nap(3600)), clock_s()

    assert run_virtual(main()) == ([3600.0, 1.0, 3600.0], 3600.0)


def test_the_clock_of_the_loop_is_the_clock_that_is_handed_out() -> None:
    clock = LoopClock(start=5.0, wall=1000.0)

    async def main() -> None:
        async with asyncio.timeout(10):
            await clock.asleep(2.5)

    run_virtual(main(), clock=clock)
    assert (clock.monotonic(), clock.time()) == (7.5, 1002.5)


def test_time_limits_are_virtual() -> None:
    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(86_400):
                await asyncio.Event().wait()

    clock = LoopClock()
    run_virtual(main(), clock=clock)
    assert clock.monotonic() == 86_400


def order(seed: int) -> list[int]:
    async def main() -> list[int]:
        seen: list[int] = []

        async def step(number: int) -> None:
            await asyncio.sleep(0)
            seen.append(number)

        await asyncio.gather(*(step(number) for number in range(6)))
        return seen

    return run_virtual(main(), seed=seed)


def test_the_order_of_ready_tasks_comes_from_the_seed() -> None:
    assert order(1) == order(1)
    assert len({tuple(order(seed)) for seed in range(20)}) > 10
    assert all(sorted(order(seed)) == list(range(6)) for seed in range(20))


def test_waiting_for_what_never_happens_is_an_error_and_no_hang() -> None:
    async def main() -> None:
        await asyncio.get_running_loop().create_future()

    loop = VirtualLoop()
    try:
        task = loop.create_task(main())
        with pytest.raises(RuntimeError, match="never happen"):
            loop.run_until_complete(task)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            loop.run_until_complete(task)
    finally:
        loop.close()


def test_worker_threads_are_this_thread() -> None:
    async def main() -> tuple[int, str]:
        with pytest.raises(ValueError, match="from there"):
            await asyncio.to_thread(fail)
        return await asyncio.to_thread(threading.get_ident), await asyncio.to_thread(str.upper, "done")

    def fail() -> None:
        raise ValueError("from there")

    assert run_virtual(main()) == (threading.get_ident(), "DONE")


def test_other_threads_have_no_part_in_it() -> None:
    async def main() -> list[str]:
        loop, errors = asyncio.get_running_loop(), []

        def call() -> None:
            try:
                loop.call_soon_threadsafe(lambda: None)
            except RuntimeError as error:
                errors.append(str(error))

        thread = threading.Thread(target=call)
        thread.start()
        thread.join()
        return errors

    assert run_virtual(main()) == ["a virtual loop was called from another thread"]
