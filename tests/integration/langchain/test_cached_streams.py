"""A stored answer comes back through LangChain as it was given: whole, or in the same pieces."""

from __future__ import annotations

from typing import Any

import pytest

from routekit import Router
from routekit.langchain import RoutedChatModel
from routekit.testing import Reply, ScriptedProvider, plugin_module
from routekit.types import Usage


@pytest.fixture
def routed() -> Any:
    provider = ScriptedProvider(Reply("one two three four", usage=Usage(input_tokens=5, output_tokens=4)))
    config = {
        "deployments": [{"name": "a", "provider": "scripted", "model": "m", "price": {"input": 1, "output": 1}}],
        "cache": {"use": ["memory"]},
    }
    router = Router(config, plugins=[plugin_module(provider)], providers={"a": provider}, env={"ROUTEKIT_HOME": ""})
    with router:
        yield RoutedChatModel(router=router), provider


def test_a_stream_is_replayed_as_the_same_stream(routed: Any) -> None:
    model, provider = routed
    first, second = list(model.stream("hi")), list(model.stream("hi"))
    assert len(provider.calls) == 1
    assert [chunk.content for chunk in second if chunk.content] == [chunk.content for chunk in first if chunk.content]
    whole = second[0]
    for chunk in second[1:]:
        whole += chunk
    assert whole.content == "one two three four"
    assert whole.response_metadata["routekit"]["cache"] == "hit"
    assert whole.response_metadata["routekit"]["cost_usd"] == 0
    assert whole.usage_metadata["output_tokens"] == 4


async def test_asynchronous_streams_too(routed: Any) -> None:
    model, provider = routed
    first = [chunk.content async for chunk in model.astream("hi")]
    second = [chunk.content async for chunk in model.astream("hi")]
    assert [text for text in second if text] == [text for text in first if text]
    assert len(provider.calls) == 1


def test_a_stream_serves_a_whole_answer_and_the_other_way_round(routed: Any) -> None:
    model, provider = routed
    list(model.stream("hi"))
    whole = model.invoke("hi")
    assert whole.content == "one two three four"
    assert whole.response_metadata["routekit"]["cache"] == "hit"
    model.invoke("ho")
    assert "".join(chunk.content for chunk in model.stream("ho")) == "one two three four"
    assert len(provider.calls) == 2
