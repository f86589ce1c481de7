"""What a routed model tells LangChain, and how it behaves where things go wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core import exceptions as langchain
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.tools import tool
from pydantic import BaseModel
from tests.support.langchain_server import two_deployments
from tests.support.openai_server import OpenAIServer

from routekit import Router, errors
from routekit.langchain import RoutedChatModel
from routekit.plugin.once import KeptProperty


class Joke(BaseModel):
    setup: str


@tool
def weather(city: str) -> str:
    """The weather of a city."""
    return f"sunny in {city}"


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as server:
        yield server


@pytest.fixture
def model(server: OpenAIServer) -> Iterator[RoutedChatModel]:
    model = RoutedChatModel(config=two_deployments(server.url))
    yield model
    model.router.close()


class Listener(BaseCallbackHandler):
    def __init__(self) -> None:
        self.tokens: list[str] = []
        self.started: list[dict[str, Any]] = []
        self.ended: list[Any] = []

    def on_chat_model_start(self, serialized: Any, messages: Any, **kwargs: Any) -> None:
        self.started.append(kwargs)

    def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
        self.tokens.append(token)

    def on_llm_end(self, response: Any, **kwargs: Any) -> None:
        self.ended.append(response)


def test_the_answer_tells_its_story(model: RoutedChatModel) -> None:
    answer = model.invoke("hi")
    story = answer.response_metadata["routekit"]
    assert story["deployment"] == "cheap"
    assert story["strategy"] == "cheapest"
    assert story["reason"]
    assert story["cache"] in ("miss", "bypass")
    assert float(story["cost_usd"]) > 0
    assert [attempt["outcome"] for attempt in story["attempts"]] == ["ok"]
    assert answer.response_metadata["finish_reason"] == "stop"


def test_a_streams_last_chunk_tells_the_same(model: RoutedChatModel) -> None:
    chunks = list(model.stream("hi"))
    assert [chunk.chunk_position for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    last = chunks[-1]
    assert last.chunk_position == "last"
    assert last.usage_metadata is not None
    assert last.response_metadata["model_name"] == "cheap"
    assert last.response_metadata["routekit"]["deployment"] == "cheap"


def test_each_token_is_told_once(model: RoutedChatModel) -> None:
    listener = Listener()
    text = "".join(chunk.text for chunk in model.stream("one two three", config={"callbacks": [listener]}))
    assert "".join(listener.tokens) == text
    assert len(listener.ended) == 1


def test_traces_hold_plain_data(server: OpenAIServer, model: RoutedChatModel) -> None:
    from routekit.builtin.strategies.best import Best

    listener = Listener()
    config: Any = {"callbacks": [listener], "metadata": {"langgraph_node": "planner"}, "tags": ["eu"]}
    model.invoke("hi", config=config, strategy=Best())
    params = listener.started[0]["invocation_params"]
    assert params["strategy"] == "Best()"
    assert "routekit_site" not in params


def test_tool_calls_stream(server: OpenAIServer, model: RoutedChatModel) -> None:
    whole: AIMessageChunk | None = None
    for chunk in model.bind_tools([weather]).stream("How is the weather in 'Rome'?"):
        assert isinstance(chunk, AIMessageChunk)
        whole = chunk if whole is None else whole + chunk
    assert whole is not None
    assert whole.tool_calls[0]["name"] == "weather"
    assert whole.tool_calls[0]["args"] == {"city": "Rome"}
    assert whole.response_metadata["finish_reason"] == "tool_calls"


def test_a_failed_tool_goes_back_to_the_model(server: OpenAIServer, model: RoutedChatModel) -> None:
    call = AIMessage("", tool_calls=[{"name": "weather", "args": {"city": "x"}, "id": "c1", "type": "tool_call"}])
    model.invoke([HumanMessage("hi"), call, ToolMessage("boom", tool_call_id="c1", status="error", artifact=object())])
    sent = server.requests[-1].body["messages"]
    assert sent[-1] == {"role": "tool", "tool_call_id": "c1", "content": "boom"}
    assert sent[-2]["tool_calls"][0]["function"] == {"name": "weather", "arguments": '{"city":"x"}'}


def test_parameters_reach_the_provider(server: OpenAIServer, model: RoutedChatModel) -> None:
    routed = RoutedChatModel(
        router=model.router, temperature=0.1, max_tokens=7, top_p=0.9, seed=3, stop=["x"], model_kwargs={"user": "u"}
    )
    routed.invoke("hi", temperature=0.2, stop=["y"], parallel_tool_calls=None)
    body = server.requests[-1].body
    wanted = {"temperature": 0.2, "max_tokens": 7, "top_p": 0.9, "seed": 3, "stop": ["y"], "user": "u"}
    assert {key: body[key] for key in wanted} == wanted
    assert not {"strategy", "step", "scopes", "timeout", "n", "parallel_tool_calls"} & set(body)


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        ("auto", "auto"),
        ("none", "none"),
        ("any", "required"),
        ("required", "required"),
        (True, "required"),
        (False, "none"),
        ("weather", {"type": "function", "function": {"name": "weather"}}),
        ({"type": "function", "function": {"name": "weather"}}, {"type": "function", "function": {"name": "weather"}}),
        ({"type": "tool", "name": "weather"}, {"type": "function", "function": {"name": "weather"}}),
        ({"type": "any"}, "required"),
    ],
)
def test_tool_choice(server: OpenAIServer, model: RoutedChatModel, choice: Any, sent: Any) -> None:
    model.bind_tools([weather], tool_choice=choice, parallel_tool_calls=False).invoke("hi")
    assert server.requests[-1].body["tool_choice"] == sent
    assert server.requests[-1].body["parallel_tool_calls"] is False


def test_a_tool_choice_that_is_no_tool_is_refused(model: RoutedChatModel) -> None:
    with pytest.raises(errors.InvalidInputError, match="wether"):
        model.bind_tools([weather], tool_choice="wether")


def test_strict_tools_and_schemas(server: OpenAIServer, model: RoutedChatModel) -> None:
    model.bind_tools([weather], strict=True).invoke("hi")
    assert server.requests[-1].body["tools"][0]["function"]["strict"] is True
    model.with_structured_output(Joke, strict=True).invoke("tell 'a'")
    form = server.requests[-1].body["response_format"]["json_schema"]
    assert form["strict"] is True
    assert form["schema"]["additionalProperties"] is False


@pytest.mark.parametrize("schema", [Joke, Joke.model_json_schema()])
def test_half_an_object_is_no_answer(server: OpenAIServer, model: RoutedChatModel, schema: Any) -> None:
    server.reply('{"setup": "a cat walks in', finish_reason="length")
    with pytest.raises(OutputParserException, match="max_tokens"):
        model.with_structured_output(schema, method="json_schema").invoke("tell")


def test_a_refusal_is_said(server: OpenAIServer, model: RoutedChatModel) -> None:
    server.reply(message={"role": "assistant", "content": None, "refusal": "I will not"})
    with pytest.raises(OutputParserException, match="I will not"):
        model.with_structured_output(Joke, method="json_schema").invoke("tell")


def test_errors_are_ours_and_langchains(server: OpenAIServer, model: RoutedChatModel) -> None:
    server.behave(status=400)
    with pytest.raises(errors.InvalidRequestError) as caught:
        model.invoke("hi")
    assert isinstance(caught.value, langchain.ModelInvalidRequestError)
    with pytest.raises(langchain.ModelInvalidRequestError):
        list(model.stream("hi"))
    with pytest.raises(langchain.ModelInvalidRequestError):
        asyncio.run(model.ainvoke("hi"))


def test_a_broken_stream_says_what_was_handed_over(server: OpenAIServer, model: RoutedChatModel) -> None:
    server.behave(fault="cut", after=3)
    seen: list[str] = []
    stream = model.stream("one two three four five")
    with pytest.raises(errors.StreamInterruptedError) as caught:  # noqa: PT012
        while True:
            seen.append(next(stream).text)
    assert seen
    assert caught.value.partial.text == "".join(seen)
    assert isinstance(caught.value, langchain.ModelConnectionError)


def test_it_falls_back_to_the_other_deployment(server: OpenAIServer, model: RoutedChatModel) -> None:
    server.behave(model="cheap", status=401)
    answer = model.invoke("hi")
    assert answer.response_metadata["model_name"] == "dear"
    assert [a["outcome"] for a in answer.response_metadata["routekit"]["attempts"]] == ["error", "ok"]


def test_an_abandoned_stream_frees_its_connection(server: OpenAIServer, model: RoutedChatModel) -> None:
    server.behave(chunk_delay_s=0.02)
    stream = model.stream("one two three four five six seven eight")
    next(stream)
    stream.close()  # type: ignore[attr-defined]  # a generator
    server.wait_until(lambda: server.aborted == 1)


async def test_one_model_on_two_event_loops(server: OpenAIServer, model: RoutedChatModel) -> None:
    await model.ainvoke("hi")
    await asyncio.to_thread(lambda: asyncio.run(model.ainvoke("hi")))
    await model.ainvoke("hi")
    assert len(server.requests) == 3
    await model.router.aclose()


def test_routing_arguments_at_the_call(server: OpenAIServer, model: RoutedChatModel) -> None:
    assert model.invoke("hi", model="dear").response_metadata["model_name"] == "dear"
    with pytest.raises(errors.NoCandidateError, match="nobody"):
        model.invoke("hi", model="nobody")
    with pytest.raises(errors.NoCandidateError):
        model.invoke("hi", max_cost_usd=0.0000001)


def test_several_answers_at_once_are_refused(model: RoutedChatModel) -> None:
    with pytest.raises(errors.InvalidInputError, match="batch"):
        model.invoke("hi", n=2)


def test_misspelt_arguments_are_refused(model: RoutedChatModel) -> None:
    with pytest.raises(errors.InvalidInputError, match="did you mean 'strategy'"):
        RoutedChatModel(router=model.router, strategi="best")
    with pytest.raises(errors.InvalidInputError, match="router and config"):
        RoutedChatModel(router=model.router, config={})
    with pytest.raises(errors.ConfigError):
        RoutedChatModel(config={"deploiments": []})


def test_how_it_is_written_down_is_computed_once_and_without_a_lock(model: RoutedChatModel) -> None:
    first = model._serialized
    assert first is model._serialized
    assert first["id"][-1] == "RoutedChatModel"
    assert isinstance(vars(RoutedChatModel)["_serialized"], KeptProperty)


def test_a_copy_shares_the_router(model: RoutedChatModel) -> None:
    first = model._serialized
    copy = model.with_strategy("best")
    assert copy.router is model.router
    assert model.strategy is None
    assert copy._serialized != first
    assert model.model_copy(deep=True).router is model.router


def test_keys_of_the_model_are_not_shown(server: OpenAIServer) -> None:
    router = Router.from_dict(two_deployments(server.url))
    model = RoutedChatModel(router=router, api_key="sk-secret")
    assert "sk-secret" not in repr(model) + str(model.asdict()) + str(model._serialized)
    router.close()


def test_the_profile_is_what_the_deployments_can_do(model: RoutedChatModel) -> None:
    assert model.profile is not None
    assert model.profile["tool_calling"]
    assert model.profile["structured_output"]
    assert model.profile["image_inputs"]
    assert model.profile["max_input_tokens"] == 100_000


def test_tokens_are_counted_without_a_tokenizer(model: RoutedChatModel) -> None:
    assert 3 <= model.get_num_tokens("Why is the sky blue?") <= 8
    assert model.get_num_tokens_from_messages([HumanMessage("Why is the sky blue?")], tools=[weather]) > 20
