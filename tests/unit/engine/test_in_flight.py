"""Closing waits for what is under way."""

from __future__ import annotations

import asyncio
import threading

import pytest
from tests.support.routers import scripted_router

from routekit import InvalidInputError, StreamInterruptedError
from routekit.plugin import Provider
from routekit.types import Answer, Chunk


class Gated(Provider):
    """Answers when the gate opens."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.asked = threading.Event()
        self.busy = 0

    def complete(self, call) -> Answer:
        self.busy += 1
        self.asked.set()
        assert self.gate.wait(20)
        self.busy -= 1
        return Answer(message={"role": "assistant", "content": "late"}, finish_reason="stop")

    def stream(self, call):
        yield Chunk({"content": "early "})
        self.asked.set()
        assert self.gate.wait(20)
        yield Chunk({"content": "late"})
        yield Chunk({}, "stop")


def test_close_waits_for_requests_of_other_threads() -> None:
    provider = Gated()
    router = scripted_router({"a": provider})
    answers = []
    asking = threading.Thread(target=lambda: answers.append(router.complete("hi").text))
    asking.start()
    assert provider.asked.wait(20)
    threading.Timer(0.05, provider.gate.set).start()
    router.close()
    assert provider.busy == 0
    asking.join(20)
    assert answers == ["late"]
    with pytest.raises(InvalidInputError, match="closed"):
        router.complete("hi")


def test_close_waits_for_streams_of_other_threads() -> None:
    provider = Gated()
    router = scripted_router({"a": provider})
    answers = []

    def read() -> None:
        with router.stream("hi") as stream:
            answers.append("".join(chunk.text for chunk in stream))

    reading = threading.Thread(target=read)
    reading.start()
    assert provider.asked.wait(20)
    threading.Timer(0.05, provider.gate.set).start()
    router.close()
    reading.join(20)
    assert answers == ["early late"]


def test_close_waits_no_longer_than_it_was_told() -> None:
    provider = Gated()
    router = scripted_router({"a": provider})
    asking = threading.Thread(target=lambda: router.complete("hi"))
    asking.start()
    assert provider.asked.wait(20)
    router.close(drain_s=0.01)
    assert provider.busy == 1
    provider.gate.set()
    asking.join(20)


def test_aclose_waits_for_requests_of_other_tasks() -> None:
    provider = Gated()
    router = scripted_router({"a": provider})

    async def main() -> str:
        task = asyncio.ensure_future(router.acomplete("hi"))
        while not provider.asked.is_set():
            await asyncio.sleep(0.001)
        asyncio.get_running_loop().call_later(0.05, provider.gate.set)
        await router.aclose()
        return (await task).text

    assert asyncio.run(main()) == "late"


def test_ones_own_stream_is_cut_and_says_so() -> None:
    provider = Gated()
    provider.gate.set()
    router = scripted_router({"a": provider})

    async def main() -> None:
        stream = router.astream("hi")
        assert (await anext(stream)).text == "early "
        await router.aclose()
        with pytest.raises(StreamInterruptedError) as caught:
            await anext(stream)
        assert caught.value.partial.text == "early "

    asyncio.run(main())
    assert all(row.in_flight == 0 for row in router.health())


def test_close_in_an_event_loop_does_not_wait_for_itself() -> None:
    provider = Gated()
    router = scripted_router({"a": provider})

    async def main() -> None:
        task = asyncio.ensure_future(router.acomplete("hi"))
        while not provider.asked.is_set():
            await asyncio.sleep(0.001)
        router.close()
        provider.gate.set()
        assert (await task).text == "late"

    asyncio.run(main())
