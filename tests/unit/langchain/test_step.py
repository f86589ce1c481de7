"""The kind of a step follows from the messages; a config's wishes become arguments."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.runnables import RunnableLambda

from routekit.errors import InvalidInputError
from routekit.langchain.step import KINDS, SITE, CallSite, lift, step_of

TOOLS = [{"type": "function", "function": {"name": "f"}}]
CALL = AIMessage("", tool_calls=[{"name": "f", "args": {}, "id": "c1", "type": "tool_call"}])
OK = ToolMessage("ok", tool_call_id="c1")
BAD = ToolMessage("boom", tool_call_id="c1", status="error")
ASK = HumanMessage("please")


@pytest.mark.parametrize(
    ("messages", "tools", "choice", "kind"),
    [
        ([ASK], TOOLS, None, "plan"),
        ([SystemMessage("s"), ASK], TOOLS, "auto", "plan"),
        ([ASK], None, None, "answer"),
        ([ASK], TOOLS, "none", "answer"),
        ([ASK], TOOLS, {"type": "function", "function": {"name": "f"}}, "answer"),
        ([ASK, CALL, OK], TOOLS, None, "observe"),
        ([ASK, CALL, OK], None, None, "answer"),
        ([ASK, CALL, BAD], TOOLS, None, "recover"),
        ([ASK, CALL, BAD, OK], TOOLS, None, "recover"),
        ([ASK, CALL, BAD, CALL, OK], TOOLS, None, "observe"),
        ([ASK, AIMessage("hm")], TOOLS, None, "act"),
        ([ASK, CALL, OK, AIMessage("done"), HumanMessage("more")], TOOLS, None, "plan"),
        ([HumanMessage([{"type": "tool_result", "tool_use_id": "c1", "is_error": True}])], TOOLS, None, "recover"),
        ([], TOOLS, None, "plan"),
    ],
)
def test_kinds(messages: list[AnyMessage], tools: Any, choice: Any, kind: str) -> None:
    assert step_of(messages, tools, choice).kind == kind


def test_the_index_counts_model_calls_since_the_last_human_message() -> None:
    assert step_of([ASK, CALL, OK, CALL, OK], TOOLS).index == 2
    assert step_of([ASK, CALL, OK, ASK], TOOLS).index == 0


def test_a_tool_error_is_told() -> None:
    assert step_of([ASK, CALL, BAD], TOOLS).after_tool_error
    assert not step_of([ASK, CALL, OK], TOOLS).after_tool_error


messages = st.lists(st.sampled_from([ASK, CALL, OK, BAD, AIMessage("x"), SystemMessage("s")]), max_size=8)


@given(messages, st.booleans())
def test_every_conversation_has_a_kind(conversation: list[AnyMessage], tools: bool) -> None:
    step = step_of(conversation, TOOLS if tools else None)
    assert step.kind in KINDS
    assert 0 <= step.index <= len(conversation)
    assert step.after_tool_error == (step.kind == "recover")
    assert step == step_of(conversation, TOOLS if tools else None, None, CallSite())


def test_a_known_place_goes_before_the_rules() -> None:
    site = CallSite(kind="summarise", node="n", run_id="r", index=7)
    step = step_of([ASK], TOOLS, None, site)
    assert (step.kind, step.node, step.run_id, step.index) == ("summarise", "n", "r", 7)


def test_nothing_to_lift_costs_nothing() -> None:
    kwargs: dict[str, Any] = {"temperature": 0}
    assert lift(None, kwargs) is kwargs
    assert lift({}, kwargs) is kwargs


def test_configurable_is_lifted_and_arguments_win() -> None:
    config: Any = {"configurable": {"routekit_strategy": "best", "routekit_scopes": {"user": "u"}}}
    assert lift(config, {}) == {"strategy": "best", "scopes": {"user": "u"}}
    assert lift(config, {"strategy": "cheapest"})["strategy"] == "cheapest"
    assert lift(config, {"strategy": None})["strategy"] == "best"


def test_a_misspelt_key_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="did you mean 'routekit_strategy'"):
        lift({"configurable": {"routekit_stratgy": "best"}}, {})


def test_an_unrelated_configurable_does_not_hide_the_inherited_strategy() -> None:
    inner = RunnableLambda(lambda _: lift({"configurable": {"other": 1}}, {}))
    assert inner.invoke("", config={"configurable": {"routekit_strategy": "best"}}) == {"strategy": "best"}


def test_the_place_is_read_off_the_config() -> None:
    config: Any = {
        "configurable": {"thread_id": "t", "run_id": "r"},
        "metadata": {"langgraph_node": "planner"},
        "tags": ["eu", "seq:step:2"],
    }
    site = lift(config, {})[SITE]
    assert (site.node, site.run_id, site.session, site.tags) == ("planner", "r", "t", ("eu",))


def test_summaries_are_recognised() -> None:
    assert lift({"metadata": {"lc_source": "summarization"}}, {})[SITE].kind == "summarise"
    assert lift({"metadata": {"langgraph_node": "summarize_history"}}, {})[SITE].kind == "summarise"


def test_what_differs_from_run_to_run_is_not_in_the_cache_key() -> None:
    one, two = CallSite(node="n", run_id="1", session="a", index=1), CallSite(node="n", run_id="2", session="b")
    assert repr(one) == repr(two)
    assert repr(one) != repr(CallSite(node="m"))
