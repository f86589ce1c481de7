"""What providers say, made what the types promise."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routekit.engine.attempts.incoming import BYTES_PER_TOKEN, MOST_CHARACTERS, SLACK, Incoming, choices_wanted
from routekit.engine.attempts.normalize import answer_of, logprobs_of, message_from, name_of
from routekit.errors import InvalidResponseError
from routekit.plugin.deltas import add_up
from routekit.plugin.finishreason import finish_reason_of
from routekit.types import Answer, Choice, Chunk, RouteRequest, Usage

TEXT = {"type": "text", "text": "Hello."}
PICTURE = {"type": "image_url", "image_url": {"url": "data:,"}}


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("Hello.", "Hello."),
        (None, None),
        ([TEXT], "Hello."),
        (["Hel", "lo."], "Hello."),
        ([{"text": "Hello."}], "Hello."),
        ([{"type": "output_text", "text": "Hello.", "annotations": []}], "Hello."),
        ([{"type": "text", "text": {"value": "Hello."}}], "Hello."),
        ([{"type": "text", "text": None}, TEXT, None], "Hello."),
        (TEXT, "Hello."),
        ([], ""),
        (True, ""),
        (42, "42"),
        ({"city": "Oslo"}, '{"city":"Oslo"}'),
        ([1, 2], "[1,2]"),
        ("a\ud83d\ude00", "a😀"),
        ("a\ud83d", "a\ufffd"),
    ],
)
def test_content_is_text(content: Any, text: str | None) -> None:
    assert message_from({"role": "model", "content": content}) == {"role": "assistant", "content": text}


def test_thinking_in_parts_is_reasoning() -> None:
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "let me see"}]}
    signed = {"type": "thinking", "thinking": "hm", "signature": "s"}
    assert message_from({"content": [thought, TEXT]}) == {
        "role": "assistant", "content": "Hello.", "reasoning_content": "let me see"
    }  # fmt: skip
    assert message_from({"content": [signed, TEXT]})["thinking_blocks"] == [signed]  # type: ignore[typeddict-item]


def test_parts_that_are_no_text_stay_parts() -> None:
    assert message_from({"content": [TEXT, PICTURE]})["content"] == [TEXT, PICTURE]
    chunks = [Incoming().read(Chunk({"content": part})) for part in ([TEXT], [PICTURE])]
    assert [chunk.text for chunk in chunks] == ["Hello.", ""]
    assert add_up(chunk.delta for chunk in chunks)["content"] == [TEXT, PICTURE]


def test_calls_have_ids_names_and_texts() -> None:
    calls = [
        {"function": {"name": "f", "arguments": {"a": 1}}},
        {"id": "x", "type": "function", "function": {"name": "f", "arguments": None}},
        {"id": "x", "name": "g", "arguments": "{}"},
        True,
    ]
    made = message_from({"content": None, "tool_calls": calls})["tool_calls"]
    assert [one["function"] for one in made] == [
        {"name": "f", "arguments": '{"a":1}'}, {"name": "f", "arguments": ""}, {"name": "g", "arguments": "{}"}
    ]  # fmt: skip
    assert made[1]["id"] == "x"
    assert len({one["id"] for one in made}) == 3


@pytest.mark.parametrize("calls", [True, 3, "x", {}, [], [None], None])
def test_calls_that_are_none_are_left_out(calls: Any) -> None:
    assert "tool_calls" not in message_from({"content": "x", "tool_calls": calls}) or calls == {}


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("stop", "stop"), ("STOP", "stop"), ("end_turn", "stop"), ("COMPLETE", "stop"), ("eos_token", "stop"),
        ("MAX_TOKENS", "length"), ("max_tokens", "length"), ("model_length", "length"), ("length", "length"),
        ("tool_use", "tool_calls"), ("TOOL_CALL", "tool_calls"), ("function_call", "function_call"),
        ("SAFETY", "content_filter"), ("RECITATION", "content_filter"), ("content_filtered", "content_filter"),
        ("error", "error"), ("network_error", "error"), ("abort", "error"), ("MALFORMED_FUNCTION_CALL", "error"),
        ("refusal", "refusal"), ("Something New", "something_new"),
        (None, None), ("", None), ({"type": "stop"}, "stop"), (True, "stop"), (3, "stop"), ([], None), ({}, None),
    ],
)  # fmt: skip
def test_reasons_in_every_vendors_words(said: Any, reason: str | None) -> None:
    assert finish_reason_of(said) == reason


@pytest.mark.parametrize("value", [True, 1, "x", [], {}, {"content": 1}, {"content": [1]}, {"content": [{"token": 1}]}])
def test_log_probabilities_that_are_none(value: Any) -> None:
    assert logprobs_of(value) is None


def test_log_probabilities_keep_what_can_be_read() -> None:
    good = {"token": "a", "logprob": -0.1, "bytes": None, "top_logprobs": []}
    read = logprobs_of({"content": [good, {"token": "b", "logprob": -math.inf}, None], "refusal": None})
    assert read is not None
    assert read["content"][0] is good
    assert read["content"][1]["logprob"] == -9999.0
    assert "refusal" not in read


@pytest.mark.parametrize(
    ("value", "name"),
    [("m", "m"), ({"x": 1}, None), ("", None), (3, None), ("a\udc00", "a\ufffd"), ("m" * 900, "m" * 256)],
)
def test_names_of_models(value: Any, name: str | None) -> None:
    assert name_of(value) == name


def test_a_character_in_two_chunks_is_one() -> None:
    reader = Incoming()
    deltas = [{"content": "a\ud83d"}, {"content": "\ude00b"}, {"content": "\ud83d"}]
    chunks = [reader.read(Chunk(delta)) for delta in deltas]
    chunks.append(reader.read(Chunk({}, "stop")))
    assert [chunk.text for chunk in chunks] == ["a", "😀b", "", "\ufffd"]
    piece = {"index": 0, "id": "x", "function": {"name": "f", "arguments": '"\ud83d'}}
    reader = Incoming()
    calls = [
        reader.read(Chunk({"tool_calls": [delta]}))
        for delta in (piece, {"index": 0, "function": {"arguments": '\ude00"'}})
    ]
    assert add_up(chunk.delta for chunk in calls)["tool_calls"][0]["function"]["arguments"] == '"😀"'


def test_what_is_right_already_is_handed_on_as_it_is() -> None:
    chunk = Chunk({"content": "word "}, None, None, "m")
    assert Incoming().read(chunk) is chunk


def test_calls_without_an_id_have_one_at_the_end() -> None:
    reader = Incoming()
    reader.read(Chunk({"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}))
    assert reader.read(Chunk({}, "tool_calls")).delta["tool_calls"][0]["id"]


@pytest.mark.parametrize(
    "delta",
    [
        {"content": "x" * 1000},
        {"content": ["x" * 1000]},
        {"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": "x" * 1000}}]},
    ],
    ids=["text", "parts", "arguments"],
)
def test_a_stream_ends_that_keeps_to_no_limit(delta: dict[str, Any]) -> None:
    reader, most = Incoming((), 10), 10 * BYTES_PER_TOKEN + SLACK
    for _ in range(most // 1000):
        reader.read(Chunk(dict(delta)))
    with pytest.raises(InvalidResponseError, match="limit"):
        reader.read(Chunk(dict(delta)))


@pytest.mark.parametrize("key", ["content", "reasoning_content", "refusal", "x"])
def test_no_stream_is_endless(key: str) -> None:
    reader = Incoming()
    most = MOST_CHARACTERS * (4 if key == "x" else 1)
    for _ in range(most // 1_000_000):
        reader.read(Chunk({key: "x" * 1_000_000}))
    with pytest.raises(InvalidResponseError, match="longer than any answer"):
        reader.read(Chunk({key: "x" * 1_000_000}))


def test_how_many_answers_are_wanted() -> None:
    def asked(**params: Any) -> int:
        return choices_wanted(RouteRequest(messages=(), params=params))

    assert (asked(), asked(n=None), asked(n=1), asked(n="x")) == (1, 1, 1, 1)
    assert (asked(n=3), asked(extra_body={"n": 2})) == (3, 2)


def test_only_answers_and_chunks_are_read() -> None:
    with pytest.raises(TypeError, match="Answer"):
        answer_of({"content": "x"})
    with pytest.raises(TypeError, match="Chunk"):
        Incoming().read({"content": "x"})


INNER = ["type", "text", "thinking", "id", "name", "arguments", "token", "a\ud800"]
texts = st.text(max_size=5) | st.sampled_from(["\ud83d", "\ude00"])
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(INNER), inner, max_size=4),
    max_leaves=8,
)
KEYS = [
    "role", "content", "tool_calls", "function_call", "audio", "refusal", "reasoning", "reasoning_content",
    "annotations", "x",
]  # fmt: skip
messages = st.dictionaries(st.sampled_from(KEYS), anything, max_size=5)


def holds(answer: Answer | Chunk, message: Any) -> None:
    """What is promised of everything behind the border."""
    json.dumps(message, allow_nan=False).encode()
    json.dumps(message, ensure_ascii=False).encode()  # no halves of characters
    assert message.get("content") is None or isinstance(message["content"], str | list)
    for key in ("refusal", "reasoning", "reasoning_content"):
        assert isinstance(message.get(key, ""), str)
    for call in message.get("tool_calls", ()):
        body = call.get("function") or call.get("custom") or {}
        assert all(isinstance(body.get(key, ""), str) for key in ("name", "arguments", "input"))
    assert answer.model is None or isinstance(answer.model, str)
    assert answer.finish_reason is None or isinstance(answer.finish_reason, str)
    for entries in (answer.logprobs or {}).values():
        assert all(isinstance(entry["token"], str) and math.isfinite(entry["logprob"]) for entry in entries)


@given(messages | anything, anything, anything, anything, anything)
def test_any_answer_becomes_one_of_ours_and_stays_it(
    message: Any, reason: Any, usage: Any, model: Any, logprobs: Any
) -> None:
    others = (Choice(message=message, finish_reason=reason, logprobs=logprobs, index=1),)
    made = answer_of(
        Answer(message=message, finish_reason=reason, usage=usage, model=model, logprobs=logprobs, others=others)
    )
    for choice in made.choices:
        holds(made, choice.message)
        assert isinstance(choice.message["content"], str | list | None)
        assert all(isinstance(call["id"], str) and call["id"] for call in choice.message.get("tool_calls", ()))
    assert made.usage is None or isinstance(made.usage, Usage)
    assert answer_of(made) == made


@given(st.lists(st.tuples(messages, anything, anything, anything), max_size=5))
def test_any_stream_becomes_one_of_ours(sent: list[tuple[Any, Any, Any, Any]]) -> None:
    reader, chunks = Incoming(), []
    for delta, reason, model, logprobs in sent:
        chunk = reader.read(Chunk(delta, reason, None, model, logprobs))
        holds(chunk, chunk.delta)
        assert isinstance(chunk.text, str)
        chunks.append(chunk)
    chunks.append(reader.read(Chunk({}, "stop")))
    message = add_up(chunk.delta for chunk in chunks)
    holds(chunks[-1], message)
    assert all(call["id"] for call in message.get("tool_calls", ()))
