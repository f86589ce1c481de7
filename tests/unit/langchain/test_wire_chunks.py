"""Streams of a routed model: what endpoints get wrong is right in LangChain's chunks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.messages import AIMessageChunk, HumanMessage
from tests.support.routers import scripted_router

from routekit.langchain import RoutedChatModel
from routekit.plugin import Provider, ProviderCall
from routekit.types import Answer, Choice, Chunk

PICTURE = {"type": "image_url", "image_url": {"url": "data:,"}}


class Streaming(Provider):
    def __init__(self, *deltas: dict[str, Any]) -> None:
        self.deltas = deltas

    def complete(self, call: ProviderCall) -> Answer:
        raise NotImplementedError

    def stream(self, call: ProviderCall) -> Iterator[Chunk]:
        for delta in self.deltas:
            yield Chunk(delta)
        yield Chunk({}, "tool_calls")


def chunks(asynchronous: bool, *deltas: dict[str, Any]) -> list[AIMessageChunk]:
    model = RoutedChatModel(router=scripted_router({"a": Streaming(*deltas)}))
    if not asynchronous:
        return list(model.stream("hi"))

    async def read() -> list[AIMessageChunk]:
        return [chunk async for chunk in model.astream("hi")]

    return asyncio.run(read())


def added(found: list[AIMessageChunk]) -> AIMessageChunk:
    whole = found[0]
    for chunk in found[1:]:
        whole = whole + chunk
    return whole


def call(**more: Any) -> dict[str, Any]:
    function = {key: more.pop(key) for key in ("name", "arguments") if key in more}
    return {"tool_calls": [{**more, "function": function}]}


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize(
    "deltas",
    [
        [call(index=0, id="a", name="f", arguments="{}"), call(index=0, id="b", name="g", arguments="{}")],
        [call(index=0, id="a", name="f", arguments=part) for part in ("", "{", "}")]
        + [call(index=1, id="b", name="g", arguments=part) for part in ("{", "}")],
        [call(index=0, id="a", name="f", arguments={}), call(index=None, id="b", name="g", arguments={})],
        [call(index=0, arguments="{}"), call(index=0, id="a", name="f"), call(index=1, id="b", name="g", arguments=[])],
    ],
    ids=["index 0", "repeated", "objects", "arguments first"],
)
def test_tool_call_chunks_add_up(asynchronous: bool, deltas: list[dict[str, Any]]) -> None:
    found = chunks(asynchronous, *deltas)
    message = added(found)
    assert not message.invalid_tool_calls
    assert [(one["id"], one["name"], one["args"]) for one in message.tool_calls] == [("a", "f", {}), ("b", "g", {})]
    pieces = [piece for chunk in found for piece in chunk.tool_call_chunks]
    assert [piece["name"] for piece in pieces if piece["name"]] == ["f", "g"], "names come once"
    assert {piece["index"] for piece in pieces} == {0, 1}


def test_calls_without_ids_have_distinct_ones() -> None:
    message = added(
        chunks(False, call(index=0, name="f", arguments="{}"), call(index=1, id="", name="g", arguments="{}"))
    )
    ids = [one["id"] for one in message.tool_calls]
    assert all(ids)
    assert len(set(ids)) == 2


def test_tools_that_take_text_come_whole_at_the_end() -> None:
    pieces = [
        {"custom": {"name": "sql", "input": "SELECT "}, "id": "a", "type": "custom"},
        {"custom": {"input": '"1"'}},
    ]
    message = added(chunks(False, *({"tool_calls": [{"index": 0, **piece}]} for piece in pieces)))
    assert [(one["id"], one["name"], one["args"]) for one in message.tool_calls] == [
        ("a", "sql", {"input": 'SELECT "1"'})
    ]


def test_parts_and_reasoning_survive() -> None:
    found = chunks(
        False,
        {"content": [{"type": "thinking", "thinking": "hm"}]},
        {"content": [{"type": "text", "text": "See:"}]},
        {"content": [PICTURE], "annotations": [{"type": "x"}]},
    )
    message = added(found)
    assert message.text == "See:"
    assert PICTURE in message.content
    assert message.additional_kwargs["reasoning_content"] == "hm"
    assert message.additional_kwargs["annotations"] == [{"type": "x"}]


def test_a_deployments_own_n_gives_every_generation() -> None:
    class Two(Provider):
        def complete(self, call: ProviderCall) -> Answer:
            other = Choice(message={"role": "assistant", "content": "Two."}, finish_reason="stop", index=1)
            return Answer(message={"role": "assistant", "content": "One."}, finish_reason="stop", others=(other,))

    model = RoutedChatModel(router=scripted_router({"a": Two()}))
    [generations] = model.generate([[HumanMessage("hi")]]).generations
    assert [generation.text for generation in generations] == ["One.", "Two."]
