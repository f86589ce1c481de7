"""Streams, before and after their commit point, under both faces."""

from __future__ import annotations

import asyncio
import gc
import threading

import pytest
from tests.support.routers import AsyncFace, SyncFace, scripted_router

from routekit import AllAttemptsFailedError, DeadlineExceededError, StreamInterruptedError
from routekit.errors import ProviderUnavailableError
from routekit.plugin import Observer, ObserverPlugin, hookimpl, reaper
from routekit.testing import Reply, ScriptedProvider
from routekit.types import AttemptEnded, Money, RequestEnded, SystemClock

Face = SyncFace | AsyncFace
DOWN = ProviderUnavailableError("down")


def text(chunks) -> str:
    return "".join(chunk.text for chunk in chunks)


def test_a_stream_and_its_result_say_the_same(face: Face) -> None:
    router = scripted_router({"a": ScriptedProvider(Reply("one two three", delay_s=2, chunk_delay_s=1))})
    chunks, result = face.stream(router, "hi")
    assert text(chunks) == result.text == "one two three"
    assert result.finish_reason == "stop"
    assert result.usage.output_tokens > 0
    assert result.ttft_s == pytest.approx(3)
    assert result.attempts[0].ttft_s == pytest.approx(3)
    assert result.attempts[0].duration_s > result.ttft_s


def test_falls_back_before_the_first_token(face: Face) -> None:
    cut = ScriptedProvider(Reply("never seen", error=DOWN, after_chunks=1))
    router = scripted_router({"a": cut, "b": ScriptedProvider("two")})
    chunks, result = face.stream(router, "hi")
    assert text(chunks) == "two"
    assert [(a.deployment.name, a.outcome) for a in result.attempts] == [("a", "error"), ("b", "ok")]


def test_a_role_alone_commits_nothing_and_silence_falls_back(face: Face) -> None:
    router = scripted_router({"a": ScriptedProvider(Reply(delay_s=1000)), "b": ScriptedProvider("two")})
    chunks, _ = face.stream(router, "hi", deadline_s=10)
    assert text(chunks) == "two"
    assert router.clock.monotonic() == pytest.approx(5)


@pytest.mark.parametrize("after", [2, 3])
def test_after_the_first_token_a_failure_is_typed_and_carries_what_was_read(face: Face, after: int) -> None:
    router = scripted_router(
        {"a": ScriptedProvider(Reply("abcdef", error=DOWN, after_chunks=after)), "b": ScriptedProvider()}
    )
    seen = []
    with pytest.raises(StreamInterruptedError) as caught:
        face.stream(router, "hi", on_chunk=seen.append)
    assert caught.value.partial.text == text(seen) != ""
    assert caught.value.usage.estimated
    assert caught.value.partial.cost > Money(0)
    assert [a.outcome for a in caught.value.attempts] == ["interrupted"]
    assert isinstance(caught.value.__cause__, ProviderUnavailableError)


def test_an_end_without_a_finish_reason_is_an_interruption(face: Face) -> None:
    router = scripted_router({"a": ScriptedProvider(Reply("abc", finish_reason=None))})
    with pytest.raises(StreamInterruptedError, match="finish reason"):
        face.stream(router, "hi")


def test_an_empty_stream_is_no_answer(face: Face) -> None:
    router = scripted_router({"a": ScriptedProvider(Reply("")), "b": ScriptedProvider("two")})
    assert text(face.stream(router, "hi")[0]) == "two"
    with pytest.raises(AllAttemptsFailedError):
        face.stream(scripted_router({"a": ScriptedProvider(Reply(""))}), "hi")


def test_the_deadline_holds_in_the_middle_of_a_stream(face: Face) -> None:
    router = scripted_router({"a": ScriptedProvider(Reply("abcdef", chunks=6, chunk_delay_s=2))})
    with pytest.raises(StreamInterruptedError) as caught:
        face.stream(router, "hi", deadline_s=5)
    assert 0 < len(caught.value.partial.text) < 6
    assert router.health()[0].state == "closed"
    assert router.health()[0].latency is None or router.health()[0].latency.failure_rate == 0
    with pytest.raises(DeadlineExceededError):
        face.stream(scripted_router({"a": ScriptedProvider(Reply(delay_s=100))}), "hi", deadline_s=5)


def test_walking_away_closes_the_upstream_and_pays(face: Face) -> None:
    provider = ScriptedProvider(Reply("abcdef", chunks=6))
    router = scripted_router({"a": provider})
    face.read(router, 3, "hi")
    gc.collect()
    assert reaper.flush(20)
    assert provider.open_streams == 0
    assert router.health()[0].in_flight == 0
    assert router.health()[0].state == "closed"


def test_a_stream_nobody_closes_is_closed_when_it_is_forgotten() -> None:
    provider = ScriptedProvider(Reply("abcdef", chunks=6))
    router = scripted_router({"a": provider})
    stream = router.stream("hi")
    next(stream)
    next(stream)
    assert provider.open_streams == 1
    del stream
    gc.collect()
    assert reaper.flush(20)
    assert provider.open_streams == 0
    assert router.health()[0].in_flight == 0


def test_tool_calls_are_put_together(face: Face) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    router = scripted_router({"a": ScriptedProvider(Reply(None, tool_calls=[call], finish_reason="tool_calls"))})
    chunks, result = face.stream(router, "hi")
    assert result.tool_calls == [call]
    assert result.finish_reason == "tool_calls"
    assert any(chunk.delta.get("tool_calls") for chunk in chunks)


def test_a_stored_stream_is_replayed_as_the_stream_it_was(face: Face) -> None:
    provider = ScriptedProvider(Reply("one two three", chunks=4))
    router = scripted_router({"a": provider}, config={"cache": {"use": ["memory"]}})
    first, paid = face.stream(router, "hi")
    again, free = face.stream(router, "hi")
    assert [c.text for c in again if c.text] == [c.text for c in first if c.text]
    assert (paid.cache, free.cache) == ("miss", "hit")
    assert free.cost == Money(0)
    assert free.saved == paid.cost
    assert face.complete(router, "hi").text == "one two three"
    assert len(provider.calls) == 1


def test_an_interrupted_stream_is_not_stored(face: Face) -> None:
    provider = ScriptedProvider(Reply("abcdef", error=DOWN, after_chunks=3), "whole")
    router = scripted_router({"a": provider}, config={"cache": {"use": ["memory"]}})
    with pytest.raises(StreamInterruptedError):
        face.stream(router, "hi")
    assert face.complete(router, "hi").text == "whole"


def test_nothing_is_asked_before_the_stream_is_read() -> None:
    provider = ScriptedProvider("x")
    router = scripted_router({"a": provider})
    stream = router.stream("hi")
    assert not provider.calls
    with pytest.raises(RuntimeError, match="before its end"):
        _ = stream.result
    assert text(stream) == "x"
    assert text(stream) == "", "a stream is read once"


def test_a_call_that_nobody_awaits_any_more_is_ended_elsewhere() -> None:
    """The collector may take it apart inside of the very lock that its ending needs."""
    lock, ended = threading.Lock(), []

    class Watching(Observer):
        def __call__(self, event: object) -> None:
            if isinstance(event, AttemptEnded | RequestEnded):
                with lock:
                    ended.append((type(event).__name__, threading.current_thread().name))

    class Plugin:
        @hookimpl
        def routekit_observers(self) -> list[ObserverPlugin]:
            return [ObserverPlugin(name="watching", factory=lambda options, context: Watching())]

    provider = ScriptedProvider(Reply("late", delay_s=100))
    router = scripted_router({"a": provider}, plugins=[Plugin()], config={"observers": [{"use": "watching"}]})
    calls = []

    async def main() -> None:
        calls.append(asyncio.ensure_future(router.acomplete("hi")))
        while not provider.calls:
            await asyncio.sleep(0)

    provider.clock = SystemClock()  # it waits until it is taken apart
    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())
    task = calls.pop()
    task._log_destroy_pending = False  # what is tested is what the loop would complain of
    coroutine = task.get_coro()
    loop.close()
    del task
    with lock:
        coroutine.close()  # as the collector does
        assert ended == []
    assert reaper.flush(20)
    assert ended == [("AttemptEnded", "routekit-reaper"), ("RequestEnded", "routekit-reaper")]
    assert router.health()[0].in_flight == 0
