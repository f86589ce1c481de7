"""The engine's border, under both faces: whatever a provider says, an answer of ours or an error of the tree."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.routers import FACES, AsyncFace, SyncFace, scripted_router

from routekit import AllAttemptsFailedError, StreamInterruptedError
from routekit.errors import InvalidInputError, InvalidResponseError, RoutekitError
from routekit.plugin import Observer, ObserverPlugin, Provider, ProviderCall, hookimpl
from routekit.testing import ScriptedProvider
from routekit.types import Answer, Choice, Chunk, Event, RequestEnded, Usage

Face = SyncFace | AsyncFace
SAID = [{"role": "user", "content": "hi"}]
CALLED = {"name": "f", "arguments": "{}"}
AFTER_TOOLS = [
    *SAID,
    {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "type": "function", "function": CALLED}]},
    {"role": "tool", "tool_call_id": "c", "content": "done"},
]  # fmt: skip
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}


class Saying(Provider):
    """Says just this, whole and as a stream."""

    def __init__(self, answer: Any, chunks: list[Any]) -> None:
        self.answer, self.chunks = answer, chunks

    def complete(self, call: ProviderCall) -> Answer:
        return self.answer  # type: ignore[no-any-return]

    async def acomplete(self, call: ProviderCall) -> Answer:
        return self.answer  # type: ignore[no-any-return]

    def stream(self, call: ProviderCall) -> Iterator[Chunk]:
        yield from self.chunks

    async def astream(self, call: ProviderCall) -> AsyncIterator[Chunk]:
        for chunk in self.chunks:
            yield chunk


def saying(message: Any, reason: Any = "stop", **more: Any) -> Saying:
    delta = dict(message) if isinstance(message, dict) else {"content": message}
    return Saying(
        Answer(message=message, finish_reason=reason, **more),
        [Chunk({"role": "assistant"}), Chunk(delta, None, None, *more.values()), Chunk({}, reason)],
    )


def both(face: Face, provider: Provider, messages: Any = "hi", **params: Any) -> list[Any]:
    """The result of a whole answer and of a stream."""
    router = scripted_router({"a": provider})
    return [face.complete(router, messages, **params), face.stream(router, messages, **params)[1]]


@pytest.mark.parametrize(
    "content", [[{"type": "text", "text": "Hello."}], ["Hello."], {"type": "text", "text": "Hello."}]
)
def test_content_in_parts_is_text(face: Face, content: Any) -> None:
    for result in both(face, saying({"content": content})):
        assert (result.text, result.message["content"]) == ("Hello.", "Hello.")


def test_tool_calls_have_one_shape(face: Face) -> None:
    for result in both(
        face, saying({"content": None, "tool_calls": {"function": {"name": "f", "arguments": {}}}}), tools=[TOOL]
    ):
        [call] = result.tool_calls
        assert call["id"]
        assert (call["type"], call["function"]) == ("function", {"name": "f", "arguments": "{}"})


def test_models_reasons_and_log_probabilities_that_are_none(face: Face) -> None:
    for result in both(face, saying({"content": "x", "tool_calls": True}, "end_turn", model={"x": 1}, logprobs=True)):
        assert (result.model, result.finish_reason, result.logprobs) == ("model-a", "stop", None)
        assert "tool_calls" not in result.message


def test_a_reason_that_says_error_is_a_failure(face: Face) -> None:
    router = scripted_router({"a": saying({"content": "Hel"}, "error"), "b": ScriptedProvider("whole")})
    result = face.complete(router, "hi")
    assert (result.text, [attempt.outcome for attempt in result.attempts]) == ("whole", ["error", "ok"])
    with pytest.raises(StreamInterruptedError, match="gave up") as caught:
        face.stream(router, "hi")
    assert caught.value.partial.text == "Hel"


def test_reasoning_alone_is_no_answer(face: Face) -> None:
    router = scripted_router({"a": saying({"content": None, "reasoning_content": "hm"}), "b": ScriptedProvider("two")})
    assert face.complete(router, "hi").text == "two"
    with pytest.raises(StreamInterruptedError, match="empty"):
        face.stream(router, "hi")
    chunks, result = face.stream(router, "hi", on_interrupt="restart")
    assert result.text == "two"
    assert any(chunk.restart for chunk in chunks)


@pytest.mark.parametrize("reason", ["stop", "end_turn"])
@pytest.mark.parametrize("content", ["", None, [], "\n"])
def test_nothing_more_to_say_after_tools_is_an_end(face: Face, content: Any, reason: str) -> None:
    for result in both(face, saying({"content": content}, reason), AFTER_TOOLS, tools=[TOOL]):
        assert (result.text.strip(), result.finish_reason, len(result.attempts)) == ("", "stop", 1)


@pytest.mark.parametrize(
    ("messages", "reason"), [(SAID, "stop"), (AFTER_TOOLS, "length"), ([*AFTER_TOOLS, *SAID], "stop")]
)
def test_nothing_said_to_a_question_is_no_answer(face: Face, messages: Any, reason: str) -> None:
    router = scripted_router({"a": saying({"content": ""}, reason)})
    with pytest.raises((AllAttemptsFailedError, InvalidResponseError)):
        face.complete(router, messages)
    with pytest.raises(RoutekitError):
        face.stream(router, messages)


def test_every_choice_comes_back_and_none_is_kept_for_others(face: Face) -> None:
    other = Choice(message={"role": "assistant", "content": ["Two."]}, finish_reason="MAX_TOKENS", index=1)  # type: ignore[typeddict-item]
    provider = saying({"content": "One."}, others=(other,))
    router = scripted_router({"a": provider}, config={"cache": {"use": ["memory"]}})
    alone = face.complete(scripted_router({"a": saying({"content": "One."})}), "hi")
    for _ in range(2):
        result = face.complete(router, "hi", n=2)
        assert [(choice.index, choice.text, choice.finish_reason) for choice in result.choices] == [
            (0, "One.", "stop"), (1, "Two.", "length")
        ]  # fmt: skip
        assert result.cache != "hit"
        assert result.usage.output_tokens > alone.usage.output_tokens, "counted here: all of them"
    with pytest.raises(InvalidInputError, match="n=2"):
        face.stream(router, "hi", n=2)


def test_guards_look_at_every_choice(face: Face) -> None:
    other = Choice(message={"role": "assistant", "content": "ann@example.com"}, finish_reason="stop", index=1)
    rules = [{"name": "mail", "preset": "email", "action": "redact", "where": "response"}]
    config = {"guards": [{"use": "pattern", "rules": rules}]}
    router = scripted_router({"a": saying({"content": "One."}, others=(other,))}, config=config)
    assert "ann@" not in face.complete(router, "hi", n=2).choices[1].text


def test_a_stream_that_keeps_to_no_limit_is_cut(face: Face) -> None:
    endless = Saying(None, [Chunk({"content": "word " * 200})] * 1000 + [Chunk({}, "stop")])
    router = scripted_router({"a": endless})
    with pytest.raises(StreamInterruptedError, match="limit") as caught:
        face.stream(router, "hi", max_tokens=10)
    assert len(caught.value.partial.text) < 20_000


class Watching(Observer):
    """Keeps the ends of requests."""

    def __init__(self) -> None:
        self.ends: list[RequestEnded] = []

    def __call__(self, event: Event) -> None:
        if isinstance(event, RequestEnded):
            self.ends.append(event)

    @hookimpl
    def routekit_observers(self) -> list[ObserverPlugin]:
        return [ObserverPlugin(name="watching", factory=lambda options, context: self, summary="for tests")]


FIELDS = ["role", "content", "tool_calls", "function_call", "audio", "refusal", "reasoning_content", "annotations"]
INNER = ["index", "id", "type", "function", "name", "arguments", "text", "content", "token"]
values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | st.text(max_size=4) | st.just("\ud83d"),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(INNER), inner),
    max_leaves=8,
)  # fmt: skip
deltas = st.dictionaries(st.sampled_from(FIELDS), values, max_size=4)
reasons = st.sampled_from([None, "stop", "length", "error", "tool_use", "SAFETY"]) | values
usages = st.none() | st.just(Usage(input_tokens=3, output_tokens=2)) | values


@pytest.mark.parametrize("face", FACES, ids=lambda face: face.name)
@pytest.mark.parametrize("streamed", [False, True])
@settings(max_examples=60, deadline=None)
@given(
    sent=st.lists(st.tuples(deltas, reasons, usages, values, values), min_size=1, max_size=4),
    mode=st.sampled_from(["error", "restart"]),
)
def test_any_nonsense_ends_as_an_answer_or_as_an_error_of_ours(
    face: Face, streamed: bool, sent: Any, mode: str
) -> None:
    message, reason, usage, model, logprobs = sent[-1]
    answer = Answer(message=message, finish_reason=reason, usage=usage, model=model, logprobs=logprobs)
    provider = Saying(answer, [Chunk(*piece) for piece in sent])
    watching = Watching()
    config = {
        "cache": {"use": ["memory"]},
        "observers": [{"use": "watching"}],
        "router": {"budget_store": "memory"},
        "budgets": [{"scope": "global", "limit_usd": 1000}],
    }
    router = scripted_router({"a": provider}, plugins=[watching], config=config)
    try:
        if streamed:
            result = face.stream(router, "hi", tools=[TOOL], on_interrupt=mode)[1]
        else:
            result = face.complete(router, "hi", tools=[TOOL])
    except RoutekitError as error:
        result, failure = None, error
    else:
        failure = None
        assert isinstance(result.text, str)
    assert [(end.result, type(end.error)) for end in watching.ends] == [(result, type(failure))]
    assert router.health()[0].in_flight == 0
