"""A strategy that is given anywhere is used. Asserted at the server: which model was asked.

"cheapest" is the router's default and asks the model "cheap"; "best" asks "dear". So wherever "dear" was
asked, the strategy arrived.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from typing import Any, TypedDict

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import wrap_model_call
from langchain_core.caches import InMemoryCache
from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import ConfigurableField, Runnable, RunnableConfig, RunnableLambda, RunnableParallel
from langchain_core.tools import tool
from langgraph.graph import END, START, StateGraph
from pydantic import BaseModel
from tests.support.langchain_server import last_model, two_deployments
from tests.support.openai_server import OpenAIServer

from routekit import errors
from routekit.builtin.strategies.best import Best
from routekit.langchain import RoutedChatModel

BEST: RunnableConfig = {"configurable": {"routekit_strategy": "best"}}
FIRST_BETA = pytest.mark.filterwarnings("ignore::langchain_core._api.beta_decorator.LangChainBetaWarning")


class Joke(BaseModel):
    setup: str
    punchline: str


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


def test_the_default_asks_the_cheap_one(server: OpenAIServer, model: RoutedChatModel) -> None:
    answer = model.invoke("hi")
    assert server.models_called == ["cheap"]
    assert answer.response_metadata["model_name"] == "cheap"
    assert answer.response_metadata["routekit"]["strategy"] == "cheapest"


# Every way to call, with every way to say it

CALLS = {
    "invoke": lambda m, **kw: m.invoke("hi", **kw),
    "stream": lambda m, **kw: list(m.stream("hi", **kw)),
    "batch": lambda m, **kw: m.batch(["hi"], **kw),
    "batch_as_completed": lambda m, **kw: list(m.batch_as_completed(["hi"], **kw)),
    "ainvoke": lambda m, **kw: asyncio.run(m.ainvoke("hi", **kw)),
    "astream": lambda m, **kw: asyncio.run(_all(m.astream("hi", **kw))),
    "abatch": lambda m, **kw: asyncio.run(m.abatch(["hi"], **kw)),
    "abatch_as_completed": lambda m, **kw: asyncio.run(_all(m.abatch_as_completed(["hi"], **kw))),
    "astream_events_v1": lambda m, **kw: asyncio.run(_all(m.astream_events("hi", version="v1", **kw))),
    "astream_events_v2": lambda m, **kw: asyncio.run(_all(m.astream_events("hi", version="v2", **kw))),
    "astream_events_v3": lambda m, **kw: asyncio.run(_events_v3(m, **kw)),
    "stream_events_v3": lambda m, **kw: m.stream_events("hi", version="v3", **kw).output,
    "astream_log": lambda m, **kw: asyncio.run(_all(m.astream_log("hi", **kw))),
    "transform": lambda m, **kw: list(m.transform(iter(["hi"]), **kw)),
    "atransform": lambda m, **kw: asyncio.run(_all(m.atransform(_one("hi"), **kw))),
}


async def _all(stream: Any) -> list[Any]:
    return [item async for item in stream]


async def _one(item: Any) -> Any:
    yield item


async def _events_v3(model: Any, **kwargs: Any) -> Any:
    stream = await model.astream_events("hi", version="v3", **kwargs)
    return await stream.output


@FIRST_BETA
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::PendingDeprecationWarning")
@pytest.mark.parametrize("how", CALLS)
@pytest.mark.parametrize("place", ["argument", "configurable", "with_strategy", "bind", "with_config", "instance"])
def test_every_call_takes_it_from_every_place(
    server: OpenAIServer, model: RoutedChatModel, how: str, place: str
) -> None:
    call = CALLS[how]
    if place == "argument":
        call(model, strategy="best")
    elif place == "instance":
        call(model, strategy=Best())
    elif place == "configurable":
        call(model, config=BEST)
    elif place == "with_strategy":
        call(model.with_strategy("best"))
    elif place == "bind":
        call(model.bind(strategy="best"))
    else:
        call(model.with_config(BEST))
    assert server.models_called == ["dear"]


async def test_generate(server: OpenAIServer, model: RoutedChatModel) -> None:
    model.generate([[HumanMessage("hi")]], strategy="best")
    await model.agenerate([[HumanMessage("hi")]], strategy="best")
    assert server.models_called == ["dear", "dear"]


def test_generate_inside_a_runnable(server: OpenAIServer, model: RoutedChatModel) -> None:
    RunnableLambda(lambda _: model.generate([[HumanMessage("hi")]]).generations[0][0].text).invoke("", config=BEST)
    assert last_model(server) == "dear"


# Bindings in every order

ORDERS = {
    "bind then bind_tools": lambda m: m.bind(strategy="best").bind_tools([weather]),
    "bind_tools then bind": lambda m: m.bind_tools([weather]).bind(strategy="best"),
    "with_strategy then bind_tools": lambda m: m.with_strategy("best").bind_tools([weather]),
    "bind_tools then with_strategy": lambda m: m.bind_tools([weather]).with_strategy("best"),
    "bind_tools with it": lambda m: m.bind_tools([weather], strategy="best"),
    "with_config then bind_tools": lambda m: m.with_config(BEST).bind_tools([weather]),
    "bind_tools then with_config": lambda m: m.bind_tools([weather]).with_config(BEST),
    "with_config twice then bind_tools": lambda m: (
        m.with_config(BEST).with_config(configurable={"other": 1}).bind_tools([weather])
    ),
    "with_listeners between": lambda m: m.bind(strategy="best").with_listeners().bind_tools([weather]),
    "with_types between": lambda m: m.bind(strategy="best").with_types(output_type=AIMessage).bind_tools([weather]),
    "bind twice": lambda m: m.bind(strategy="best").bind(temperature=0).bind_tools([weather]),
    "with_retry": lambda m: m.bind_tools([weather]).bind(strategy="best").with_retry(stop_after_attempt=2),
    "with_fallbacks": lambda m: m.bind(strategy="best").with_fallbacks([m]).bind_tools([weather]),
    "a binding's with_strategy wins": lambda m: (
        m.bind(strategy="cheapest").bind_tools([weather]).with_strategy("best")
    ),
}  # fmt: skip


@pytest.mark.parametrize("order", ORDERS)
def test_bindings_keep_it_and_the_tools(server: OpenAIServer, model: RoutedChatModel, order: str) -> None:
    answer = ORDERS[order](model).invoke("How is the weather in 'Rome'?")
    assert last_model(server) == "dear"
    assert server.requests[-1].body["tools"][0]["function"]["name"] == "weather"
    assert answer.tool_calls[0]["args"] == {"city": "Rome"}


STRUCTURED = {
    "bind": lambda m, **kw: m.bind(strategy="best").with_structured_output(Joke, **kw),
    "with_strategy": lambda m, **kw: m.with_strategy("best").with_structured_output(Joke, **kw),
    "with_config": lambda m, **kw: m.with_config(BEST).with_structured_output(Joke, **kw),
    "argument": lambda m, **kw: m.with_structured_output(Joke, strategy="best", **kw),
    "bind, tools, bind": lambda m, **kw: m.bind(strategy="best").bind(temperature=0).with_structured_output(Joke, **kw),
}


@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
@pytest.mark.parametrize("place", STRUCTURED)
def test_structured_output_keeps_it(server: OpenAIServer, model: RoutedChatModel, place: str, method: str) -> None:
    chain = STRUCTURED[place](model, method=method)
    joke = chain.invoke("A joke as JSON with the keys 'setup' and 'punchline', please")
    assert isinstance(joke, Joke)
    assert server.models_called == ["dear"]


def test_structured_output_with_raw(server: OpenAIServer, model: RoutedChatModel) -> None:
    found = model.bind(strategy="best").with_structured_output(Joke, include_raw=True).invoke("tell 'a'")
    assert isinstance(found["parsed"], Joke)
    assert found["raw"].response_metadata["model_name"] == "dear"
    assert found["parsing_error"] is None


@pytest.mark.parametrize("how", ["invoke", "ainvoke", "batch", "stream"])
def test_structured_output_with_raw_takes_it_at_the_call(
    server: OpenAIServer, model: RoutedChatModel, how: str
) -> None:
    chain = model.with_structured_output(Joke, include_raw=True)
    calls: dict[str, Any] = {
        "invoke": lambda: chain.invoke("tell 'a'", strategy="best"),
        "ainvoke": lambda: asyncio.run(chain.ainvoke("tell 'a'", strategy="best")),
        "batch": lambda: chain.batch(["tell 'a'"], strategy="best")[0],
        "stream": lambda: {k: v for part in chain.stream("tell 'a'", strategy="best") for k, v in part.items()},
    }
    assert isinstance(calls[how]()["parsed"], Joke)
    assert server.models_called == ["dear"]


def test_structured_output_takes_configurable_at_the_call(server: OpenAIServer, model: RoutedChatModel) -> None:
    model.with_structured_output(Joke).invoke("tell 'a'", config=BEST)
    assert server.models_called == ["dear"]


# Chains


def test_in_a_chain(server: OpenAIServer, model: RoutedChatModel) -> None:
    chain = ChatPromptTemplate.from_template("Say {word}") | model | StrOutputParser()
    assert chain.invoke({"word": "ho"}, config=BEST)
    assert list(chain.stream({"word": "ho"}, config=BEST))
    chain.batch([{"word": "ho"}], config=BEST)
    assert server.models_called == ["dear"] * 3


async def test_in_an_async_chain(server: OpenAIServer, model: RoutedChatModel) -> None:
    chain = ChatPromptTemplate.from_template("Say {word}") | model | StrOutputParser()
    assert await chain.ainvoke({"word": "ho"}, config=BEST)
    assert [part async for part in chain.astream({"word": "ho"}, config=BEST)]
    assert server.models_called == ["dear"] * 2


def test_branches_of_one_chain_have_their_own(server: OpenAIServer, model: RoutedChatModel) -> None:
    both = RunnableParallel(one=model.bind(strategy="best"), two=model)
    found = both.invoke("hi")
    assert found["one"].response_metadata["model_name"] == "dear"
    assert found["two"].response_metadata["model_name"] == "cheap"


def test_batch_with_a_config_each(server: OpenAIServer, model: RoutedChatModel) -> None:
    answers = model.batch(["a", "b"], config=[BEST, {}])
    assert [answer.response_metadata["model_name"] for answer in answers] == ["dear", "cheap"]


def test_configurable_fields(server: OpenAIServer, model: RoutedChatModel) -> None:
    flexible = model.configurable_fields(strategy=ConfigurableField(id="how"))
    flexible.with_config(configurable={"how": "best"}).invoke("hi")
    flexible.invoke("hi")
    assert server.models_called == ["dear", "cheap"]


# LangGraph


class State(TypedDict):
    text: str


def graph_of(node: Any) -> Any:
    graph = StateGraph(State)
    graph.add_node("planner", node)
    graph.add_edge(START, "planner")
    graph.add_edge("planner", END)
    return graph.compile()


def test_in_a_graph_node(server: OpenAIServer, model: RoutedChatModel) -> None:
    graph_of(lambda state: {"text": model.invoke(state["text"]).text}).invoke({"text": "hi"}, config=BEST)
    assert last_model(server) == "dear"


def test_in_a_node_with_an_unrelated_configurable(server: OpenAIServer, model: RoutedChatModel) -> None:
    def node(state: State) -> State:
        return {"text": model.invoke(state["text"], config={"configurable": {"other": 1}}).text}

    graph_of(node).invoke({"text": "hi"}, config=BEST)
    assert last_model(server) == "dear"


def test_a_nodes_own_choice_goes_first(server: OpenAIServer, model: RoutedChatModel) -> None:
    def node(state: State) -> State:
        return {"text": model.invoke(state["text"], config=BEST).text}

    graph_of(node).invoke({"text": "hi"}, config={"configurable": {"routekit_strategy": "cheapest"}})
    assert last_model(server) == "dear"


async def test_in_an_async_graph_node(server: OpenAIServer, model: RoutedChatModel) -> None:
    async def node(state: State) -> State:
        parts = [part.text async for part in model.astream(state["text"], config={"configurable": {"other": 1}})]
        return {"text": "".join(parts)}

    graph = graph_of(node)
    await graph.ainvoke({"text": "hi"}, config=BEST)
    assert [item async for item in graph.astream({"text": "hi"}, config=BEST, stream_mode="messages")]
    assert server.models_called == ["dear", "dear"]


def test_a_nodes_name_picks_the_rule_of_the_configuration(server: OpenAIServer) -> None:
    rules = [{"when": {"node": "planner"}, "strategy": "best"}]
    model = RoutedChatModel(config=two_deployments(server.url, steps=rules))
    graph_of(lambda state: {"text": model.invoke(state["text"]).text}).invoke({"text": "hi"})
    model.invoke("hi")
    assert server.models_called == ["dear", "cheap"]
    model.router.close()


def test_a_tag_picks_the_rule_of_the_configuration(server: OpenAIServer) -> None:
    rules = [{"when": {"tags": ["vip"]}, "strategy": "best"}]
    model = RoutedChatModel(config=two_deployments(server.url, steps=rules))
    model.invoke("hi", config={"tags": ["vip"]})
    model.invoke("hi")
    assert server.models_called == ["dear", "cheap"]
    model.router.close()


# create_agent

QUESTION = {"messages": [{"role": "user", "content": "How is the weather in 'Rome'?"}]}


@pytest.mark.parametrize("how", ["bind", "with_config", "with_strategy"])
def test_an_agents_model_keeps_it(server: OpenAIServer, model: RoutedChatModel, how: str) -> None:
    bound: Any = {
        "bind": model.bind(strategy="best"),
        "with_config": model.with_config(BEST),
        "with_strategy": model.with_strategy("best"),
    }[how]
    create_agent(bound, [weather]).invoke(QUESTION)
    assert server.models_called == ["dear", "dear"]


def test_an_agents_caller_may_choose(server: OpenAIServer, model: RoutedChatModel) -> None:
    create_agent(model, [weather]).invoke(QUESTION, config=BEST)
    assert server.models_called == ["dear", "dear"]


async def test_an_async_agents_caller_may_choose(server: OpenAIServer, model: RoutedChatModel) -> None:
    agent = create_agent(model, [weather])
    await agent.ainvoke(QUESTION, config=BEST)
    assert [event async for event in agent.astream(QUESTION, config=BEST, stream_mode="messages")]
    assert server.models_called == ["dear"] * 4


def test_model_settings(server: OpenAIServer, model: RoutedChatModel) -> None:
    @wrap_model_call
    def settings(request: Any, handler: Any) -> Any:
        return handler(request.override(model_settings={"strategy": "best"}))

    create_agent(model, [weather], middleware=[settings]).invoke(QUESTION)
    create_agent(model, [], middleware=[settings]).invoke(QUESTION)
    assert server.models_called == ["dear"] * 3


def test_an_overridden_model(server: OpenAIServer, model: RoutedChatModel) -> None:
    @wrap_model_call
    def other(request: Any, handler: Any) -> Any:
        return handler(request.override(model=model.bind(strategy="best")))

    create_agent(model, [weather], middleware=[other]).invoke(QUESTION)
    assert server.models_called == ["dear", "dear"]


def test_an_agents_structured_answer_keeps_it(server: OpenAIServer, model: RoutedChatModel) -> None:
    for bound in (model.with_strategy("best"), model.bind(strategy="best")):
        found = create_agent(bound, response_format=Joke).invoke({"messages": ["tell 'a'"]})  # type: ignore[arg-type]
        assert isinstance(found["structured_response"], Joke)
    assert server.models_called == ["dear", "dear"]


# Precedence, refusals, caches


def test_precedence(server: OpenAIServer, model: RoutedChatModel) -> None:
    cheap: RunnableConfig = {"configurable": {"routekit_strategy": "cheapest"}}
    model.with_strategy("cheapest").invoke("hi", config=BEST)
    model.with_strategy("cheapest").invoke("hi", config=cheap, strategy="best")
    model.bind(strategy="cheapest").invoke("hi", strategy="best")
    model.bind(strategy="best").invoke("hi", config=cheap)
    assert server.models_called == ["dear"] * 4


def test_with_strategy_goes_before_a_step_rule(server: OpenAIServer) -> None:
    rules = [{"when": {"kind": "answer"}, "strategy": "cheapest"}]
    model = RoutedChatModel(config=two_deployments(server.url, steps=rules))
    model.with_strategy("best").invoke("hi")
    assert last_model(server) == "dear"
    model.router.close()


@FIRST_BETA
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::PendingDeprecationWarning")
@pytest.mark.parametrize("how", CALLS)
@pytest.mark.parametrize("place", ["argument", "configurable", "bind"])
def test_an_unknown_strategy_is_refused_everywhere(
    server: OpenAIServer, model: RoutedChatModel, how: str, place: str
) -> None:
    call: Any = CALLS[how]
    target: Any = model.bind(strategy="bst") if place == "bind" else model
    config: RunnableConfig = {"configurable": {"routekit_strategy": "bst"}}
    said: dict[str, Any] = {"argument": {"strategy": "bst"}, "configurable": {"config": config}, "bind": {}}[place]
    with pytest.raises(errors.PluginNotFoundError, match="bst"):
        call(target, **said)
    assert server.requests == []


def test_an_unknown_strategy_is_refused_at_once_where_the_router_is_there(model: RoutedChatModel) -> None:
    with pytest.raises(errors.PluginNotFoundError):
        model.with_strategy("bst")
    with pytest.raises(errors.PluginNotFoundError):
        RoutedChatModel(router=model.router, strategy="bst")


@pytest.mark.parametrize("wrong", [3, ["best"], object()])
def test_what_is_no_strategy_is_refused(model: RoutedChatModel, wrong: Any) -> None:
    with pytest.raises(errors.InvalidInputError, match="strategy must be"):
        model.invoke("hi", config={"configurable": {"routekit_strategy": wrong}})


def test_a_misspelt_key_is_refused(model: RoutedChatModel) -> None:
    with pytest.raises(errors.InvalidInputError, match="routekit_strategy"):
        model.invoke("hi", config={"configurable": {"routekit_stategy": "best"}})


def test_langchains_cache_tells_strategies_apart(server: OpenAIServer) -> None:
    model = RoutedChatModel(config=two_deployments(server.url), cache=InMemoryCache())
    frugal: Any = model.with_strategy("cheapest")
    ways: list[Runnable[LanguageModelInput, AIMessage]] = [
        model,
        model.with_strategy("best"),
        model.bind(strategy="best"),
        frugal,
    ]
    for way in (*ways, *ways):
        way.invoke("hi")
    model.invoke("hi", config=BEST)
    model.invoke("hi", config=BEST)
    # The same strategy by another way is the same question.
    assert server.models_called == ["cheap", "dear", "cheap"]
    model.router.close()


def test_langchains_cache_does_not_know_runs_and_threads(server: OpenAIServer) -> None:
    model = RoutedChatModel(config=two_deployments(server.url), cache=InMemoryCache())
    for _ in range(3):
        model.invoke("hi", config={"configurable": {"thread_id": str(uuid.uuid4()), "run_id": str(uuid.uuid4())}})
    assert server.models_called == ["cheap"]
    model.router.close()
