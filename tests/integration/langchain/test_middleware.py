"""RoutingMiddleware: each kind of step goes where its strategy says. Asserted at the server."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import ModelRequest, ToolErrorMiddleware, wrap_model_call
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from pydantic import BaseModel
from tests.support.langchain_server import two_deployments
from tests.support.openai_server import OpenAIServer

from routekit import errors
from routekit.langchain import RoutedChatModel, RoutingMiddleware

QUESTION: Any = {"messages": [{"role": "user", "content": "How is the weather in 'Rome'?"}]}


@tool
def weather(city: str) -> str:
    """The weather of a city."""
    return f"sunny in {city}"


@tool
def broken_weather(city: str) -> str:
    """The weather of a city."""
    raise ValueError("no satellite")


class Report(BaseModel):
    sky: str


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as server:
        yield server


@pytest.fixture
def model(server: OpenAIServer) -> Iterator[RoutedChatModel]:
    model = RoutedChatModel(config=two_deployments(server.url))
    yield model
    model.router.close()


def agent(model: Any, middleware: RoutingMiddleware, tools: Any = (weather,), **kwargs: Any) -> Any:
    return create_agent(model, list(tools), middleware=[middleware], **kwargs)


def steps(state: dict[str, Any]) -> list[str]:
    return [m.response_metadata["model_name"] for m in state["messages"] if isinstance(m, AIMessage)]


def test_plan_and_act(server: OpenAIServer, model: RoutedChatModel) -> None:
    found = agent(model, RoutingMiddleware(plan="best", act="cheapest", answer="balanced")).invoke(QUESTION)
    assert server.models_called == ["dear", "cheap"]
    assert steps(found) == ["dear", "cheap"]


async def test_plan_and_act_async(server: OpenAIServer, model: RoutedChatModel) -> None:
    routed = agent(model, RoutingMiddleware(plan="best", act="cheapest"))
    await routed.ainvoke(QUESTION)
    assert [part async for part in routed.astream(QUESTION, stream_mode="messages")]
    assert server.models_called == ["dear", "cheap"] * 2


def test_observe_goes_before_act(server: OpenAIServer, model: RoutedChatModel) -> None:
    agent(model, RoutingMiddleware(plan="cheapest", act="cheapest", observe="best")).invoke(QUESTION)
    assert server.models_called == ["cheap", "dear"]


def test_recover_after_a_tools_error(server: OpenAIServer, model: RoutedChatModel) -> None:
    told = ToolErrorMiddleware(on_error=lambda error, _: f"failed: {type(error).__name__}")
    routed = create_agent(
        model,
        [broken_weather],
        middleware=[RoutingMiddleware(plan="cheapest", act="cheapest", recover="best"), told],
    )
    routed.invoke(QUESTION)
    assert server.models_called == ["cheap", "dear"]


def test_answer_where_there_are_no_tools(server: OpenAIServer, model: RoutedChatModel) -> None:
    agent(model, RoutingMiddleware(plan="cheapest", answer="best"), tools=()).invoke(QUESTION)
    assert server.models_called == ["dear"]


def test_default_serves_the_rest(server: OpenAIServer, model: RoutedChatModel) -> None:
    agent(model, RoutingMiddleware(default="best", plan="cheapest")).invoke(QUESTION)
    assert server.models_called == ["cheap", "dear"]


def test_without_a_strategy_the_models_own_applies(server: OpenAIServer, model: RoutedChatModel) -> None:
    agent(model.with_strategy("best"), RoutingMiddleware(observe="cheapest")).invoke(QUESTION)
    assert server.models_called == ["dear", "cheap"]


def test_step_rules_of_the_configuration_apply(server: OpenAIServer) -> None:
    rules = [{"when": {"kind": "observe"}, "strategy": "best"}]
    model = RoutedChatModel(config=two_deployments(server.url, steps=rules))
    agent(model, RoutingMiddleware()).invoke(QUESTION)
    assert server.models_called == ["cheap", "dear"]
    model.router.close()


def test_a_function_may_name_the_kind(server: OpenAIServer, model: RoutedChatModel) -> None:
    def kind(request: ModelRequest[Any]) -> str | None:
        return "summarise" if len(request.messages) > 1 else None

    agent(model, RoutingMiddleware(summarise="best", kind=kind)).invoke(QUESTION)
    assert server.models_called == ["cheap", "dear"]


def test_an_unknown_kind_is_refused(model: RoutedChatModel) -> None:
    with pytest.raises(errors.InvalidInputError, match="dreaming"):
        agent(model, RoutingMiddleware(kind=lambda _: "dreaming")).invoke(QUESTION)


def test_the_callers_choice_goes_before_the_middlewares(server: OpenAIServer, model: RoutedChatModel) -> None:
    routed = agent(model, RoutingMiddleware(default="cheapest"))
    routed.invoke(QUESTION, config={"configurable": {"routekit_strategy": "best"}})
    assert server.models_called == ["dear", "dear"]


def test_model_settings_go_before_the_middlewares(server: OpenAIServer, model: RoutedChatModel) -> None:
    @wrap_model_call
    def settings(request: Any, handler: Any) -> Any:
        return handler(request.override(model_settings={"strategy": "best", "temperature": 0.5}))

    create_agent(model, [weather], middleware=[settings, RoutingMiddleware(default="cheapest")]).invoke(QUESTION)
    assert server.models_called == ["dear", "dear"]
    assert server.requests[0].body["temperature"] == 0.5


@pytest.mark.parametrize("how", ["bind", "with_config"])
def test_a_bound_model_works_too(server: OpenAIServer, model: RoutedChatModel, how: str) -> None:
    bound: Any = model.bind(temperature=0.5) if how == "bind" else model.with_config(tags=["eu"])
    agent(bound, RoutingMiddleware(plan="best", act="cheapest")).invoke(QUESTION)
    assert server.models_called == ["dear", "cheap"]


def test_structured_output_in_an_agent(server: OpenAIServer, model: RoutedChatModel) -> None:
    routed = agent(model, RoutingMiddleware(plan="best", observe="cheapest"), response_format=Report)
    found = routed.invoke(QUESTION)
    assert isinstance(found["structured_response"], Report)
    assert server.models_called[0] == "dear"
    assert "response_format" in server.requests[-1].body


def test_every_strategy_is_checked_at_the_first_call(server: OpenAIServer, model: RoutedChatModel) -> None:
    with pytest.raises(errors.PluginNotFoundError, match="bst"):
        agent(model, RoutingMiddleware(plan="best", recover="bst")).invoke(QUESTION)
    assert server.requests == []


def test_other_models_are_refused() -> None:
    other = GenericFakeChatModel(messages=iter([AIMessage("hi")]))
    with pytest.raises(errors.InvalidInputError, match="GenericFakeChatModel"):
        agent(other, RoutingMiddleware(plan="best"), tools=()).invoke(QUESTION)


def test_what_is_no_strategy_is_refused_at_once() -> None:
    with pytest.raises(errors.InvalidInputError, match="plan must be"):
        RoutingMiddleware(plan=3)


def test_runs_are_told_apart(server: OpenAIServer) -> None:
    budgets = [{"scope": "run:*", "limit_usd": 0.5, "window": "total"}]
    model = RoutedChatModel(config=two_deployments(server.url, budgets=budgets), max_tokens=20_000)
    routed = agent(model, RoutingMiddleware(default="best"))
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}
    dear = {"prompt_tokens": 10, "completion_tokens": 19_000, "total_tokens": 19_010}
    server.reply(tool_calls=[call], usage=dear)
    with pytest.raises(errors.BudgetExceededError) as caught:
        routed.invoke(QUESTION)
    assert caught.value.scope.startswith("run:")
    assert server.models_called == ["dear"]
    routed.invoke(QUESTION)  # another run has a budget of its own
    assert server.models_called == ["dear"] * 3
    model.router.close()


@pytest.mark.parametrize("on_budget", ["The budget is used up.", lambda error: AIMessage(f"no: {error.scope}")])
def test_a_run_may_end_with_an_answer(server: OpenAIServer, on_budget: Any) -> None:
    budgets = [{"scope": "global", "limit_usd": 0.000001, "window": "day"}]
    model = RoutedChatModel(config=two_deployments(server.url, budgets=budgets))
    found = agent(model, RoutingMiddleware(plan="best", on_budget=on_budget)).invoke(QUESTION)
    assert found["messages"][-1].text in ("The budget is used up.", "no: global")
    assert server.requests == []
    model.router.close()


def test_langchain_core_alone_is_enough_for_the_model() -> None:
    code = (
        "import sys; sys.modules['langchain'] = None; sys.modules['langgraph'] = None\n"
        "from routekit.langchain import RoutedChatModel\n"
        "try:\n    from routekit.langchain import RoutingMiddleware\n"
        "except ImportError as error:\n    assert 'routekit-llm[agents]' in str(error), error\n"
        "else:\n    raise SystemExit('imported')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
