"""Agents whose runs have a budget: they stop cleanly, with an answer, and never above the limit."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from tests.support.openai_server import OpenAIServer

from routekit import BudgetExceededError
from routekit.builtin.budgets.ledger.budget import FILE, LedgerBudget
from routekit.langchain import RoutedChatModel, RoutingMiddleware
from routekit.langchain.on_budget import INSTRUCTION, LEAST_TOKENS

QUESTION: Any = {"messages": [{"role": "user", "content": "How is the weather in Rome, Oslo and Lima?"}]}
USAGE = {"prompt_tokens": 400, "completion_tokens": 300, "total_tokens": 700}
LIMIT_USD = 0.01


@tool
def weather(city: str) -> str:
    """The weather of a city."""
    return f"sunny in {city}"


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    """Calls tools as long as it may, at 0.0022 dollars a call; then it answers."""
    with OpenAIServer() as server:
        yield server


def agent_on(server: OpenAIServer, limit_usd: float = LIMIT_USD, **options: Any) -> tuple[Any, RoutedChatModel]:
    tables = [
        {
            "name": name, "provider": "openai-compatible", "model": name, "base_url": server.url, "max_output": 1000,
            "context_window": 50_000, "price": {"input": price / 2, "output": price}, "quality": quality,
        }
        for name, price, quality in (("large", 5.0, 0.9), ("mini", 0.5, 0.5))
    ]  # fmt: skip
    config = {"deployments": tables, "budgets": [{"scope": "run:*", "limit_usd": limit_usd}]}
    model = RoutedChatModel(config=config, strategy="best", max_tokens=800)
    server.behave(model="large", tool_calls=[tool_call()], usage=USAGE)
    server.behave(model="mini", text="All that is known: sunny.", usage={**USAGE, "completion_tokens": 20})
    return create_agent(model, [weather], middleware=[RoutingMiddleware(**options)]), model


def tool_call() -> dict[str, Any]:
    return {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}


def run(agent: Any, face: str) -> list[Any]:
    if face == "sync":
        return list(agent.invoke(QUESTION)["messages"])
    if face == "stream":
        return list(list(agent.stream(QUESTION, stream_mode="values"))[-1]["messages"])
    return list(asyncio.run(agent.ainvoke(QUESTION))["messages"])


def balances(limit_usd: float = LIMIT_USD) -> list[int]:
    import os

    with closing(LedgerBudget(Path(os.environ["ROUTEKIT_HOME"]) / FILE)) as ledger:
        assert ledger.verify() == []
        assert ledger.holds() == []
        found = [balance.used.nanos for _, _, balance in ledger.balances()]
    assert all(used <= limit_usd * 1e9 for used in found)
    return found


@pytest.mark.parametrize("face", ["sync", "async", "stream"])
def test_a_run_is_finished_with_what_is_left(server: OpenAIServer, face: str) -> None:
    agent, model = agent_on(server, on_budget="finish")
    with closing(model.router):
        messages = run(agent, face)
        answer = messages[-1]
        assert isinstance(answer, AIMessage)
        assert answer.text == "All that is known: sunny."
        note = answer.response_metadata["routekit"]["budget"]
        assert note["finished"] is True
        assert note["scope"].startswith("run:")
        assert note["limit_usd"] == LIMIT_USD
        last = server.requests[-1]
        assert last.model == "mini", "the longest answer that is affordable"
        assert last.body["tool_choice"] == "none"
        assert last.body["messages"][-1]["content"] == INSTRUCTION
        assert LEAST_TOKENS <= last.body["max_tokens"] <= 1000
        assert [request.model for request in server.requests[:-1]] == ["large"] * (len(server.requests) - 1)
        assert len(server.requests) > 2
    assert len(balances()) == 1


@pytest.mark.parametrize("face", ["sync", "async", "stream"])
def test_where_nothing_is_left_the_run_ends_with_what_was_found(server: OpenAIServer, face: str) -> None:
    agent, model = agent_on(server, on_budget="finish")
    server.behave(model="large", tool_calls=[tool_call()], text="Rome is sunny.",
                  usage={"prompt_tokens": 400, "completion_tokens": 800, "total_tokens": 1200})  # fmt: skip
    with closing(model.router):
        agent = create_agent(
            RoutedChatModel(router=model.router, strategy="best", model="large", max_tokens=800), [weather],
            middleware=[RoutingMiddleware(on_budget="finish")],
        )  # fmt: skip
        messages = run(agent, face)
        answer = messages[-1]
        budget = answer.response_metadata["routekit"]["budget"]
        if not budget["finished"]:
            assert "is used up" in answer.text
            assert "sunny in Rome" in answer.text
        assert server.models_called == ["large"] * len(server.requests)
    balances()


def test_two_runs_have_budgets_of_their_own(server: OpenAIServer) -> None:
    agent, model = agent_on(server, on_budget="finish")
    with closing(model.router):
        first, second = run(agent, "sync"), run(agent, "async")
        assert len(first) == len(second)
    assert len(balances()) == 2


def test_without_it_the_error_tells_what_was_done(server: OpenAIServer) -> None:
    agent, model = agent_on(server)
    with closing(model.router):
        with pytest.raises(BudgetExceededError) as refused:
            agent.invoke(QUESTION)
        roles = [message["role"] for message in refused.value.partial]
        assert roles == ["assistant", "tool"] * (len(roles) // 2)
        assert len(roles) >= 4
        assert refused.value.partial[-1]["content"] == "sunny in Rome"
    balances()


def test_a_budget_too_small_for_anything_ends_at_once(server: OpenAIServer) -> None:
    agent, model = agent_on(server, limit_usd=0.000001, on_budget="finish")
    with closing(model.router):
        answer = run(agent, "sync")[-1]
        assert answer.response_metadata["routekit"]["budget"]["finished"] is False
        assert "is used up" in answer.text
        assert server.requests == []
