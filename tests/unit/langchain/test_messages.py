"""Messages survive the way to Chat Completions and back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    ChatMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)

from routekit.errors import InvalidInputError
from routekit.langchain.messages import (
    MODEL_PROVIDER,
    from_dict,
    to_ai_message,
    to_chunk,
    to_dicts,
    usage_metadata,
)
from routekit.types import Usage

texts = st.text(st.characters(codec="utf-8"), max_size=20)
names = st.text("abcdefgh_", min_size=1, max_size=8)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | texts,
    lambda inner: st.lists(inner, max_size=2),
    max_leaves=4,
)
objects = st.dictionaries(names, json_values, max_size=3)


@st.composite
def arguments(draw: st.DrawFn) -> str:
    """What models write: compact, spaced, escaped or indented JSON objects, and text that is none."""
    value = draw(objects)
    written = [
        json.dumps(value),
        json.dumps(value, separators=(",", ":"), ensure_ascii=False),
        json.dumps(value, indent=1),
        '{"city": "Par',
        "[1, 2]",
    ]
    return draw(st.sampled_from(written))


def tool_call_lists(min_size: int = 1) -> st.SearchStrategy[list[dict[str, Any]]]:
    call = st.builds(
        lambda call_id, name, args, extra: {
            "id": call_id, "type": "function", "function": {"name": name, "arguments": args}, **extra
        },
        st.uuids().map(lambda u: f"call_{u.hex[:12]}"),
        names,
        arguments(),
        st.sampled_from([{}, {"extra_content": {"google": {"thought_signature": "c2ln"}}}]),
    )  # fmt: skip
    return st.lists(call, min_size=min_size, max_size=3, unique_by=lambda call: call["id"])


parts = st.lists(
    st.one_of(
        texts.map(lambda text: {"type": "text", "text": text}),
        texts.map(lambda text: {"type": "text", "text": text, "cache_control": {"type": "ephemeral"}}),
        st.just({"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}}),
        st.just({"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}),
        st.just({"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"}}),
        st.just({"type": "x_future", "x": [1]}),
    ),
    min_size=1,
    max_size=3,
)


def with_name(message: dict[str, Any], name: str | None) -> dict[str, Any]:
    return {**message, "name": name} if name else message


others = st.builds(
    lambda role, content, name: with_name({"role": role, "content": content}, name),
    st.sampled_from(["user", "system", "developer"]),
    texts | parts,
    st.none() | names,
)
tools = st.builds(
    lambda content, name: with_name({"role": "tool", "tool_call_id": "call_1", "content": content}, name),
    texts | parts,
    st.none() | names,
)
assistants = st.one_of(
    st.builds(lambda content: {"role": "assistant", "content": content}, texts),
    st.builds(
        lambda content, calls: {"role": "assistant", "content": content or None, "tool_calls": calls},
        texts,
        tool_call_lists(),
    ),
    st.builds(
        lambda content, extra: {"role": "assistant", "content": content, **extra},
        texts.filter(bool),
        st.sampled_from(
            [
                {"reasoning_content": "because"},
                {"reasoning": "because", "reasoning_details": [{"type": "reasoning.text", "text": "because"}]},
                {"refusal": "no"},
                {"annotations": [{"type": "url_citation", "url_citation": {"url": "https://example.com"}}]},
                {"provider_specific_fields": {"a": 1}},
            ]
        ),
    ),
)


def test_calls_keep_their_order_where_one_is_invalid() -> None:
    calls = [
        {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Par'}},
        {"id": "call_2", "type": "function", "function": {"name": "weather", "arguments": "{}"}},
    ]
    message = {"role": "assistant", "content": None, "tool_calls": calls}
    assert to_dicts([from_dict(message)]) == [message]


@given(st.lists(others | tools | assistants, max_size=4))
def test_dictionaries_come_back_as_they_were(messages: list[dict[str, Any]]) -> None:
    assert to_dicts([from_dict(message) for message in messages]) == messages


@given(tool_call_lists(), texts)
def test_a_streamed_answer_equals_the_whole_one(calls: list[dict[str, Any]], text: str) -> None:
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}, {"content": text}]
    for index, call in enumerate(calls):
        head = {**call, "index": index, "function": {**call["function"], "arguments": ""}}
        deltas.append({"tool_calls": [head]})
        written = call["function"]["arguments"]
        for start in range(0, len(written), 3):
            piece = {"arguments": written[start : start + 3]}
            deltas.append({"tool_calls": [{"index": index, "function": piece}]})
    added: AIMessageChunk | None = None
    for delta in deltas:
        if (chunk := to_chunk(delta)) is not None:
            added = chunk if added is None else added + chunk
    whole = to_ai_message({"role": "assistant", "content": text, "tool_calls": calls})
    assert added is not None
    assert added.content == whole.content
    # A chunk guesses what unfinished JSON will become; what it could read, it reads alike.
    by_id = {call["id"]: call["args"] for call in added.tool_calls}
    assert all(by_id[call["id"]] == call["args"] for call in whole.tool_calls)


def test_arguments_that_a_person_changed_are_sent_changed() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "pay", "arguments": '{"usd": 5}'}}
    message = from_dict({"role": "assistant", "content": None, "tool_calls": [call]})
    assert isinstance(message, AIMessage)
    assert to_dicts([message])[0]["tool_calls"][0]["function"]["arguments"] == '{"usd": 5}'
    message.tool_calls[0]["args"]["usd"] = 1
    assert to_dicts([message])[0]["tool_calls"][0]["function"]["arguments"] == '{"usd":1}'


def test_a_removed_tool_call_stays_removed() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "pay", "arguments": '{"usd": 5}'}}
    message = from_dict({"role": "assistant", "content": "ok", "tool_calls": [call]})
    assert isinstance(message, AIMessage)
    edited = AIMessage(message.content, additional_kwargs=message.additional_kwargs, tool_calls=[])
    assert "tool_calls" not in to_dicts([edited])[0]


def test_unreadable_arguments_become_invalid_tool_calls() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "pay", "arguments": '{"usd": 5'}}
    message = to_ai_message({"role": "assistant", "content": None, "tool_calls": [call]})
    assert message.tool_calls == []
    assert message.invalid_tool_calls[0]["args"] == '{"usd": 5'
    assert "pay" in (message.invalid_tool_calls[0]["error"] or "")


def test_a_call_without_an_id_gets_one() -> None:
    message = to_ai_message({"content": None, "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]})
    assert message.tool_calls[0]["id"]


def test_custom_tool_calls_keep_their_form() -> None:
    call = {"id": "c1", "type": "custom", "custom": {"name": "sql", "input": "select 1"}}
    message = from_dict({"role": "assistant", "content": None, "tool_calls": [call]})
    assert isinstance(message, AIMessage)
    assert message.tool_calls[0]["args"] == {"input": "select 1"}
    assert to_dicts([message])[0]["tool_calls"] == [call]


def test_tool_artifacts_stay_at_home() -> None:
    message = ToolMessage("boom", tool_call_id="c1", artifact={"secret": 1}, status="error", name="f")
    assert to_dicts([message]) == [{"role": "tool", "tool_call_id": "c1", "content": "boom", "name": "f"}]


def test_sound_goes_back_as_a_reference() -> None:
    message = from_dict(
        {"role": "assistant", "content": None, "audio": {"id": "a1", "data": "AAAA", "transcript": "hi"}}
    )
    assert to_dicts([message])[0] == {"role": "assistant", "content": None, "audio": {"id": "a1"}}


def test_another_integrations_private_keys_are_not_sent() -> None:
    message = AIMessage("hi", additional_kwargs={"usage": {"x": 1}, "reasoning_content": "because"})
    assert to_dicts([message]) == [{"role": "assistant", "content": "hi", "reasoning_content": "because"}]


def test_reasoning_shows_in_content_blocks() -> None:
    message = to_ai_message(
        {"role": "assistant", "content": "4", "reasoning": "2+2"}, response_metadata={"model_provider": MODEL_PROVIDER}
    )
    assert [block["type"] for block in message.content_blocks] == ["reasoning", "text"]


def test_thinking_becomes_reasoning_and_keeps_its_signature() -> None:
    thought = {"type": "thinking", "thinking": "hm", "signature": "sig"}
    message = AIMessage([thought, {"type": "text", "text": "4"}])
    assert to_dicts([message]) == [
        {"role": "assistant", "content": "4", "reasoning_content": "hm", "thinking_blocks": [thought]}
    ]


def test_standard_blocks_of_an_assistant_are_not_sent_twice() -> None:
    blocks: list[Any] = [
        {"type": "reasoning", "reasoning": "hm"},
        {"type": "text", "text": "ok", "annotations": []},
        {"type": "tool_call", "id": "c1", "name": "f", "args": {}},
    ]
    message = AIMessage(content_blocks=blocks, response_metadata={"output_version": "v1"})
    sent = to_dicts([message])[0]
    assert sent["content"] == "ok"
    assert sent["reasoning_content"] == "hm"
    assert [call["id"] for call in sent["tool_calls"]] == ["c1"]


def test_anthropic_tool_results_become_tool_messages() -> None:
    message = HumanMessage(
        [{"type": "tool_result", "tool_use_id": "c1", "content": "42"}, {"type": "text", "text": "and now?"}]
    )
    assert to_dicts([message]) == [
        {"role": "tool", "tool_call_id": "c1", "content": "42"},
        {"role": "user", "content": [{"type": "text", "text": "and now?"}]},
    ]


def test_roles_of_chat_messages_travel() -> None:
    assert to_dicts([ChatMessage("x", role="developer")]) == [{"role": "developer", "content": "x"}]


def test_what_is_no_message_for_a_model_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="RemoveMessage"):
        to_dicts([RemoveMessage(id="1")])


def test_plain_messages() -> None:
    assert to_dicts([SystemMessage("s"), HumanMessage("h", name="ann"), AIMessage("a")]) == [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "h", "name": "ann"},
        {"role": "assistant", "content": "a"},
    ]


def test_usage_counts_inclusively() -> None:
    usage = Usage(input_tokens=10, output_tokens=5, cache_read_tokens=4, cache_write_tokens=2, reasoning_tokens=3)
    assert usage_metadata(usage) == {
        "input_tokens": 10,
        "output_tokens": 5,
        "total_tokens": 15,
        "input_token_details": {"cache_read": 4, "cache_creation": 2},
        "output_token_details": {"reasoning": 3},
    }


def test_empty_deltas_bring_nothing() -> None:
    assert to_chunk({"role": "assistant", "content": ""}) is None
    assert to_chunk({}) is None


def test_reasoning_streams() -> None:
    first, second = to_chunk({"reasoning": "be"}), to_chunk({"reasoning": "cause"})
    assert first is not None
    assert second is not None
    assert (first + second).additional_kwargs == {"reasoning": "because", "reasoning_content": "because"}
