"""What follows when a stream breaks after its commit point."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.support.routers import AsyncFace, SyncFace, scripted_router

from routekit import InvalidInputError, StreamInterruptedError
from routekit.errors import InvalidRequestError, ProviderUnavailableError
from routekit.testing import Reply, ScriptedProvider

Face = SyncFace | AsyncFace
DOWN = ProviderUnavailableError("down")
PREFILL = {"capabilities": ["chat", "streaming", "prefill"]}
TALE = "Once upon a time there was a fox. "


def text(chunks) -> str:
    return "".join(chunk.text for chunk in chunks)


def broken(after: int = 2, **more: Any) -> ScriptedProvider:
    return ScriptedProvider(Reply(TALE * 3, error=DOWN, after_chunks=after, **more))


def test_another_deployment_goes_on_where_the_first_broke(face: Face) -> None:
    second = ScriptedProvider("It lived happily.")
    router = scripted_router({"a": broken(), "b": second}, b=PREFILL)
    chunks, result = face.stream(router, "hi", on_interrupt="continue", max_tokens=500)
    assert text(chunks) == result.text == TALE + "It lived happily."
    assert second.calls[0].messages[-1] == {"role": "assistant", "content": TALE.rstrip()}
    assert second.calls[0].params["max_tokens"] < 500
    assert [(a.deployment.name, a.outcome) for a in result.attempts] == [("a", "interrupted"), ("b", "ok")]
    assert result.deployment.name == "b"
    assert result.cost == sum((a.cost for a in result.attempts[1:]), start=result.attempts[0].cost)
    assert all(a.usage.output_tokens > 0 for a in result.attempts)
    assert any("went on" in note for note in result.decision.notes)
    assert all(row.in_flight == 0 for row in router.health())


def test_a_repeated_beginning_is_not_handed_over_twice(face: Face) -> None:
    router = scripted_router({"a": broken(), "b": ScriptedProvider(Reply(TALE + "The end.", chunks=9))}, b=PREFILL)
    chunks, result = face.stream(router, "hi", on_interrupt="continue")
    assert text(chunks) == result.text == TALE + "The end."


def test_an_answer_that_was_complete_already_needs_no_more_text(face: Face) -> None:
    router = scripted_router({"a": broken(), "b": ScriptedProvider(Reply(""))}, b=PREFILL)
    chunks, result = face.stream(router, "hi", on_interrupt="continue")
    assert text(chunks) == result.text == TALE
    assert result.finish_reason == "stop"


def test_who_cannot_prefill_is_not_asked_to_go_on(face: Face) -> None:
    second = ScriptedProvider("no")
    router = scripted_router({"a": broken(), "b": second}, a=PREFILL, b={"capabilities": ["chat", "streaming"]})
    seen = []
    with pytest.raises(StreamInterruptedError) as caught:
        face.stream(router, "hi", on_interrupt="continue", on_chunk=seen.append)
    assert second.calls == []
    assert caught.value.partial.text == text(seen)
    # The broken one was asked once more, in place, and broke again.
    assert [a.outcome for a in caught.value.attempts] == ["interrupted", "interrupted"]


def test_a_tool_call_is_never_taken_up(face: Face) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    cut = ScriptedProvider(Reply("abc", tool_calls=[call], error=DOWN, after_chunks=5))
    second = ScriptedProvider("no")
    router = scripted_router({"a": cut, "b": second}, b=PREFILL)
    with pytest.raises(StreamInterruptedError):
        face.stream(router, "hi", on_interrupt="continue")
    assert second.calls == []


def test_a_restart_replaces_what_was_handed_over(face: Face) -> None:
    router = scripted_router({"a": broken(), "b": ScriptedProvider("A new tale.")})
    chunks, result = face.stream(router, "hi", on_interrupt="restart")
    at = next(place for place, chunk in enumerate(chunks) if chunk.restart)
    assert text(chunks[:at]) == TALE
    assert text(chunks[at:]) == result.text == "A new tale."
    assert sum(chunk.restart for chunk in chunks) == 1


def test_what_follows_can_be_configured(face: Face) -> None:
    config = {"reliability": {"on_interrupt": "restart"}}
    router = scripted_router({"a": broken(), "b": ScriptedProvider("new")}, config=config)
    assert face.stream(router, "hi")[1].text == "new"
    with pytest.raises(StreamInterruptedError):
        face.stream(
            scripted_router({"a": broken(), "b": ScriptedProvider("new")}, config=config), "hi", on_interrupt="error"
        )


def test_three_attempts_are_the_most(face: Face) -> None:
    providers = {name: broken() for name in "abcd"}
    router = scripted_router(providers)
    with pytest.raises(StreamInterruptedError) as caught:
        face.stream(router, "hi", on_interrupt="restart")
    assert len(caught.value.attempts) == 3
    assert sum(len(provider.calls) for provider in providers.values()) == 3


def test_a_refusal_ends_it(face: Face) -> None:
    refused = ScriptedProvider(Reply(TALE, error=InvalidRequestError("bad"), after_chunks=2))
    second = ScriptedProvider("no")
    with pytest.raises(StreamInterruptedError):
        face.stream(scripted_router({"a": refused, "b": second}), "hi", on_interrupt="restart")
    assert second.calls == []


def test_the_deadline_ends_it(face: Face) -> None:
    slow = ScriptedProvider(Reply("abcdef", chunks=6, chunk_delay_s=2))
    second = ScriptedProvider("no")
    with pytest.raises(StreamInterruptedError):
        face.stream(scripted_router({"a": slow, "b": second}), "hi", deadline_s=5, on_interrupt="restart")
    assert second.calls == []


def test_a_continued_answer_is_not_kept_for_others(face: Face) -> None:
    second = ScriptedProvider("It lived happily.")
    router = scripted_router({"a": broken(), "b": second}, b=PREFILL, config={"cache": {"use": ["memory"]}})
    face.stream(router, "hi", on_interrupt="continue")
    assert face.stream(router, "hi", on_interrupt="continue")[1].cache == "miss"


def test_a_silent_stream_is_given_up_after_the_idle_limit(face: Face) -> None:
    stalled = ScriptedProvider(Reply("abcdef", chunks=6, chunk_delay_s=20))
    router = scripted_router({"a": stalled}, config={"reliability": {"idle_s": 3}})
    with pytest.raises(StreamInterruptedError, match=r"in the middle|in time|within"):
        face.stream(router, "hi")
    assert router.clock.monotonic() < 30


def test_a_slow_stream_that_makes_progress_is_left_alone(face: Face) -> None:
    router = scripted_router({"a": ScriptedProvider(Reply("abcdef", chunks=6, chunk_delay_s=12))})
    assert face.stream(router, "hi")[1].text == "abcdef"


def test_a_pace_that_was_set_is_kept(face: Face) -> None:
    config = {"reliability": {"min_tokens_per_s": 5}}
    router = scripted_router({"a": ScriptedProvider(Reply("abcdefgh" * 8, chunks=32, chunk_delay_s=1))}, config=config)
    with pytest.raises(StreamInterruptedError, match="tokens per second"):
        face.stream(router, "hi")


def test_a_first_token_limit_that_was_set_holds_where_nobody_else_is_left(face: Face) -> None:
    router = scripted_router({"a": ScriptedProvider(Reply(delay_s=50))}, config={"reliability": {"first_token_s": 2}})
    with pytest.raises(Exception, match="attempt"):
        face.stream(router, "hi")
    assert router.clock.monotonic() < 10


def test_a_warm_up_holds_the_beginning_back(face: Face) -> None:
    config = {"reliability": {"warm_up_tokens": 50}}
    router = scripted_router({"a": broken(), "b": ScriptedProvider("whole")}, config=config)
    chunks, result = face.stream(router, "hi")
    assert text(chunks) == result.text == "whole"
    assert [a.outcome for a in result.attempts] == ["error", "ok"]


def test_an_unknown_wish_is_refused() -> None:
    router = scripted_router({"a": ScriptedProvider()})
    with pytest.raises(InvalidInputError, match="on_interrupt"):
        router.stream("hi", on_interrupt="retry")


def test_abandoning_a_stream_while_it_is_taken_up_leaves_nothing_behind() -> None:
    class Slow(ScriptedProvider):
        async def astream(self, call):
            self._opened(1)
            try:
                await asyncio.sleep(30)
                yield None
            finally:
                self._opened(-1)

    slow = Slow()
    router = scripted_router({"a": broken(), "b": slow}, b=PREFILL)

    async def main() -> None:
        async with router.astream("hi", on_interrupt="continue") as stream:
            reading = asyncio.ensure_future(_drain(stream))
            while not slow.open_streams:
                await asyncio.sleep(0.001)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
        await asyncio.sleep(0.01)

    asyncio.run(main())
    assert slow.open_streams == 0
    assert all(row.in_flight == 0 for row in router.health())


async def _drain(stream) -> None:
    async for _ in stream:
        pass
