"""What no compressor and no chain of them may do, whatever the conversation."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.contract.test_compressors import Answered
from tests.support.conversations import TEXT, calls_and_results, conversations

from routekit.builtin.compressors.dedupe import Dedupe
from routekit.builtin.compressors.json_minify import JsonMinify
from routekit.builtin.compressors.json_table import JsonTable
from routekit.builtin.compressors.middle_out import MiddleOut
from routekit.builtin.compressors.tool_output import ToolOutput
from routekit.builtin.compressors.trim import Trim
from routekit.engine.history.repair import portable
from routekit.types import Deployment, Model, RouteRequest, count_tokens

MAKERS = {
    "json-minify": JsonMinify,
    "json-table": JsonTable,
    "dedupe": Dedupe,
    "tool-output": lambda: ToolOutput(over_tokens=50, keep=0.1),
    "middle-out": MiddleOut,
    "trim": Trim,
    "summarize": Answered,
}
KEPT = ("system", "developer")

rows = st.lists(
    st.fixed_dictionaries({"id": st.integers(), "name": TEXT, "state": st.sampled_from(["ok", "failed"])}),
    min_size=3, max_size=40,
)  # fmt: skip
logs = st.lists(
    st.sampled_from(["ok 1", "ERROR: disk 7 is full", "    at line 9", "retry 2", "```", "x = 1"]), max_size=80
)
results = st.one_of(rows.map(json.dumps), logs.map("\n".join), TEXT, st.builds(lambda t: t * 40, TEXT))


@st.composite
def tool_heavy(draw: st.DrawFn) -> RouteRequest:
    """A conversation whose tools answer at length, and sometimes the same again."""
    request = draw(conversations())
    earlier: list[str] = []
    messages: list[Any] = []
    for message in request.messages:
        if message["role"] == "tool":
            text = draw(st.sampled_from(earlier)) if earlier and draw(st.booleans()) else draw(results)
            earlier.append(text)
            messages.append({**message, "content": text})
        else:
            messages.append(message)
    return RouteRequest(messages=tuple(messages))


def check(before: RouteRequest, after: RouteRequest) -> None:
    assert count_tokens(after.messages, after.tools)[0] <= count_tokens(before.messages, before.tools)[0]
    calls, answered = calls_and_results(after)
    assert calls == answered
    assert [m for m in after.messages if m["role"] in KEPT] == [m for m in before.messages if m["role"] in KEPT]
    newest = max(place for place, m in enumerate(before.messages) if m["role"] == "user")
    kept = max(place for place, m in enumerate(after.messages) if m["role"] == "user")
    assert [m["role"] for m in after.messages[kept:]] == [m["role"] for m in before.messages[newest:]]
    if not str(before.messages[newest]["content"]).lstrip().startswith(("{", "[")):
        assert after.messages[kept] == before.messages[newest]
    seen: set[str] = set()
    for message in after.messages:  # a result never stands before its call
        seen.update(call["id"] for call in message.get("tool_calls") or ())
        assert message["role"] != "tool" or message["tool_call_id"] in seen
    for a, b in zip(before.messages, after.messages, strict=False):
        if len(before.messages) == len(after.messages):
            assert a["role"] == b["role"]


@pytest.mark.parametrize("name", MAKERS)
@settings(deadline=None, max_examples=60)
@given(request=tool_heavy(), target=st.integers(1, 2000))
def test_each_keeps_the_conversation_valid(name: str, request: RouteRequest, target: int) -> None:
    after = MAKERS[name]().compress(request, target).request
    check(request, after)


@settings(deadline=None, max_examples=100)
@given(request=tool_heavy(), target=st.integers(1, 2000), chain=st.permutations(list(MAKERS)))
def test_any_chain_keeps_the_conversation_valid(request: RouteRequest, target: int, chain: list[str]) -> None:
    after = request
    for name in chain:
        after = MAKERS[name]().compress(after, target).request
        check(request, after)
    for dialect in ("anthropic/claude-x", "mistral/m", "gemini/g", "gpt-4o"):  # every provider takes it
        reader = Deployment(name="d", provider="litellm", model=Model(id=dialect))
        assert portable(after.messages, reader=reader, tools=())


@settings(deadline=None, max_examples=100)
@given(request=tool_heavy(), target=st.integers(1, 500))
def test_json_stays_json_and_errors_come_first(request: RouteRequest, target: int) -> None:
    after = ToolOutput(over_tokens=50, keep=0.1).compress(request, target).request
    for old, new in zip(request.messages, after.messages, strict=True):
        if old is new or not isinstance(old["content"], str):
            continue
        assert len(new["content"]) < len(old["content"])
        try:
            json.loads(old["content"])
        except ValueError:
            continue
        json.loads(new["content"])


@settings(deadline=None)
@given(rows)
def test_a_table_holds_all_that_the_rows_held(found: list[dict[str, Any]]) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    request = RouteRequest(
        messages=(
            {"role": "user", "content": "q"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c", "content": json.dumps(found)},
        )  # type: ignore[arg-type]
    )
    text = JsonTable().compress(request, None).request.messages[-1]["content"]
    value = json.loads(str(text))
    if isinstance(value, dict):
        same = value.get("same_in_these_rows", {})
        columns, listed = value["columns"], value["rows"]
        value = [row if isinstance(row, dict) else {**same, **dict(zip(columns, row, strict=True))} for row in listed]
    assert value == found
