"""Answers that are no answers: told apart, fallen back from where the policy says so, surfaced where not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.routers import AsyncFace, SyncFace, scripted_router

from routekit import (
    AllAttemptsFailedError,
    ConfigError,
    ContentFilterError,
    InvalidInputError,
    Router,
    StreamInterruptedError,
)
from routekit.engine.attempts.answer_checks import DEFAULT, KINDS, AnswerPolicy, fault_of
from routekit.errors import InvalidResponseError
from routekit.testing import Reply, ScriptedProvider, plugin_module
from routekit.types import Answer, RouteRequest, Usage

Face = SyncFace | AsyncFace
USAGE = Usage(input_tokens=5, output_tokens=7)
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
SCHEMA = {
    "type": "json_schema",
    "json_schema": {
        "name": "x",
        "schema": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
    },
}
EVERYTHING = AnswerPolicy(KINDS)


def call(arguments: Any, name: str = "weather") -> dict[str, Any]:
    return {"id": "c", "type": "function", "function": {"name": name, "arguments": arguments}}


def answer(content: str | None = None, reason: str | None = "stop", **more: Any) -> Answer:
    return Answer(message={"role": "assistant", "content": content, **more}, finish_reason=reason)


def request(**params: Any) -> RouteRequest:
    return RouteRequest(messages=({"role": "user", "content": "hi"},), tools=(TOOL,), params=params)


@pytest.mark.parametrize(
    ("given_answer", "params", "told"),
    [
        (answer(""), {}, "empty"),
        (answer("  \n"), {}, "empty"),
        (answer(None), {}, "empty"),
        (answer(None, tool_calls=[call('{"city": "Par')]), {}, "no JSON"),
        (answer(None, tool_calls=[call("[1]")]), {}, "no JSON object"),
        (answer(None, tool_calls=[call(3)]), {}, "no JSON object"),
        (answer("{"), {"response_format": {"type": "json_object"}}, "not JSON"),
        (answer("[1]"), {"response_format": {"type": "json_object"}}, "no JSON object"),
        (answer('{"a": "x"}'), {"response_format": SCHEMA}, r"\$.a is not of type integer"),
        (answer("{}"), {"response_format": SCHEMA}, r"\$.a is missing"),
    ],
)
def test_what_is_no_answer_by_default(given_answer: Answer, params: dict[str, Any], told: str) -> None:
    fault = fault_of(request(**params), given_answer, USAGE, AnswerPolicy())
    assert isinstance(fault, InvalidResponseError)
    assert fault.fall_back
    assert fault.usage is USAGE  # it is billed
    with pytest.raises(InvalidResponseError, match=told):
        raise fault


@pytest.mark.parametrize(
    ("given_answer", "params"),
    [
        (answer("hello"), {}),
        (answer(None, tool_calls=[call('{"city": "Paris"}')]), {}),
        (answer(None, tool_calls=[call("")]), {}),
        (answer(None, tool_calls=[call("null")]), {}),
        (answer(None, tool_calls=[call({"city": "Paris"})]), {}),
        (answer(None, tool_calls=[call("{}", name="unknown")]), {}),
        (answer(None, reason="length", tool_calls=[call('{"city": "Par')]), {}),
        (answer('{"a": ', reason="length"), {"response_format": SCHEMA}),
        (answer('{"a": 1}'), {"response_format": SCHEMA}),
        (answer('```json\n{"a": 1}\n```'), {"response_format": SCHEMA}),
        (answer(None, tool_calls=[call("{}")]), {"response_format": SCHEMA}),
        (answer(None, refusal="I can't help with that"), {"response_format": SCHEMA}),
        (answer("so far", reason="content_filter"), {}),
        (answer("cut", reason="length"), {}),
    ],
)
def test_what_passes_by_default(given_answer: Answer, params: dict[str, Any]) -> None:
    assert fault_of(request(**params), given_answer, USAGE, AnswerPolicy()) is None


@pytest.mark.parametrize(
    ("kind", "given_answer"),
    [
        ("refusal", answer(None, refusal="no")),
        ("refusal", answer("no", reason="refusal")),
        ("truncated", answer("cut", reason="length")),
        ("content_filter", answer("so far", reason="content_filter")),
        ("tool_schema", answer(None, tool_calls=[call("{}")])),
        ("tool_schema", answer(None, tool_calls=[call('{"city": "x"}', name="unknown")])),
    ],
)
def test_what_a_policy_may_add(kind: str, given_answer: Answer) -> None:
    assert fault_of(request(), given_answer, None, AnswerPolicy(DEFAULT)) is None
    fault = fault_of(request(), given_answer, None, AnswerPolicy([kind]))
    assert fault is not None
    assert fault.fall_back
    assert fault.blame == "request"


def test_a_content_filter_is_surfaced_unless_the_policy_says_otherwise() -> None:
    filtered = answer(None, reason="content_filter")
    fault = fault_of(request(), filtered, None, AnswerPolicy())
    assert isinstance(fault, ContentFilterError)
    assert not fault.fall_back
    fault = fault_of(request(), filtered, None, AnswerPolicy(["content_filter"]))
    assert isinstance(fault, ContentFilterError)
    assert fault.fall_back
    assert not ContentFilterError("x").fall_back, "the wish is one request's, not everybody's"


def test_what_the_policy_leaves_out_passes() -> None:
    policy = AnswerPolicy([])
    for bad in (answer(""), answer(None, tool_calls=[call("{")])):
        assert fault_of(request(response_format=SCHEMA), bad, None, policy) is None


def test_a_users_check_has_a_say() -> None:
    policy = AnswerPolicy(checks=[lambda a: "sorry" in a.text and "it says sorry " + "x" * 200])
    fault = fault_of(request(), answer("sorry, no"), None, policy)
    assert fault is not None
    assert "it says sorry" in str(fault)
    assert len(str(fault)) < 200
    assert fault_of(request(), answer("gladly"), None, policy) is None


def test_a_check_that_fails_has_no_say_and_is_named() -> None:
    def broken(_: Answer) -> bool:
        raise KeyError("oops")

    notes: list[str] = []
    assert fault_of(request(), answer("x"), None, AnswerPolicy(checks=[broken]), notes) is None
    assert notes == ["the check broken failed (KeyError); the answer passed it unseen"]


def test_an_unknown_kind_is_refused_with_the_nearest() -> None:
    with pytest.raises(InvalidInputError, match="did you mean 'schema'"):
        AnswerPolicy(["shema"])
    with pytest.raises(ConfigError, match=r"fall_back_on.*did you mean 'refusal'"):
        Router({"deployments": [], "reliability": {"fall_back_on": ["refusals"]}}, env={})
    with pytest.raises(InvalidInputError, match="answer_checks"):
        AnswerPolicy(checks=["no function"])  # type: ignore[list-item]  # what people may pass


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    content=st.none() | st.text(),
    reason=st.none() | st.sampled_from(["stop", "length", "content_filter", "refusal", "tool_calls", "odd"]),
    calls=json_values,
    refusal=st.none() | st.text(),
    form=st.sampled_from([None, {"type": "json_object"}, SCHEMA, {"type": "odd"}, "odd", {"json_schema": 3}]),
)
def test_odd_answers_are_told_apart_without_raising(
    content: Any, reason: Any, calls: Any, refusal: Any, form: Any
) -> None:
    params = {} if form is None else {"response_format": form}
    odd = answer(content, reason, tool_calls=calls, refusal=refusal)
    for policy in (AnswerPolicy(), EVERYTHING):
        fault_of(request(**params), odd, USAGE, policy)


@given(st.dictionaries(st.text(), json_values, max_size=4))
def test_valid_objects_are_never_faulted(value: dict[str, Any]) -> None:
    text = json.dumps(value)
    good = answer(None, "tool_calls", tool_calls=[call(text)])
    assert fault_of(request(), good, None, AnswerPolicy()) is None
    asked = request(response_format={"type": "json_object"})
    assert fault_of(asked, answer(text), None, AnswerPolicy()) is None


def test_the_next_one_is_asked_and_health_is_not_touched(face: Face) -> None:
    bad = ScriptedProvider(Reply(None, tool_calls=[call("{")], finish_reason="tool_calls"))
    good = ScriptedProvider(Reply(None, tool_calls=[call("{}")], finish_reason="tool_calls"))
    router = scripted_router({"a": bad, "b": good})
    for _ in range(8):
        result = face.complete(router, "hi", tools=[TOOL])
        assert [(a.deployment.name, a.outcome) for a in result.attempts] == [("a", "error"), ("b", "ok")]
        assert result.attempts[0].cost.nanos > 0
    assert router.health()[0].state == "closed"


def test_where_nobody_is_left_the_failure_says_what_was_wrong(face: Face) -> None:
    router = scripted_router({"a": ScriptedProvider("{")})
    with pytest.raises(AllAttemptsFailedError, match="not JSON"):
        face.complete(router, "hi", response_format={"type": "json_object"})


def test_a_stream_that_ends_in_half_a_tool_call_is_no_success(face: Face) -> None:
    bad = ScriptedProvider(Reply(None, tool_calls=[call('{"city": "Par')], finish_reason="tool_calls"))
    router = scripted_router({"a": bad, "b": ScriptedProvider("two")})
    with pytest.raises(StreamInterruptedError, match="no JSON"):
        face.stream(router, "hi", tools=[TOOL])
    chunks, result = face.stream(router, "hi", tools=[TOOL], on_interrupt="restart")
    assert result.text == "two"
    assert any(chunk.restart for chunk in chunks)


def test_a_warm_up_lets_a_whole_answer_be_looked_at_first(face: Face) -> None:
    config = {"reliability": {"warm_up_tokens": 100}}
    router = scripted_router({"a": ScriptedProvider("{"), "b": ScriptedProvider('{"a": 1}')}, config=config)
    chunks, result = face.stream(router, "hi", response_format=SCHEMA)
    assert "".join(chunk.text for chunk in chunks) == result.text == '{"a": 1}'
    assert [a.outcome for a in result.attempts] == ["error", "ok"]


def test_checks_of_the_routers_owner_are_asked(face: Face) -> None:
    tables = [{"name": name, "provider": "scripted", "model": name} for name in "ab"]
    router = Router(
        {"deployments": tables, "router": {"strategy": "ordered"}},
        providers={"a": ScriptedProvider("as an AI model"), "b": ScriptedProvider("yes")},
        plugins=[plugin_module(ScriptedProvider())],
        answer_checks=[lambda found: found.text.startswith("as an AI") and "it evades"],
        env={"ROUTEKIT_PLUGINS": ""},
    )
    result = face.complete(router, "hi")
    assert result.text == "yes"
    assert "it evades" in result.attempts[0].detail
