"""What is sent is what is reckoned with: bounds, limits and answers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routekit.builtin.providers.openai_compatible.wire import chat_body
from routekit.engine.plan.estimate import work_of
from routekit.plugin import ProviderCall
from routekit.types import Deployment, Model, RouteRequest, as_messages
from routekit.types.sending import answers_of, one_limit, output_limit_of, sent_params
from routekit.types.tokens import UNBOUNDED, size_of

WHERE = Deployment(name="d", provider="openai-compatible", model=Model(id="m"))
TEXT = st.text(max_size=60)
JSON = st.recursive(
    TEXT | st.integers() | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
CALLS = st.lists(
    st.fixed_dictionaries(
        {"id": TEXT, "type": st.just("function"), "function": st.fixed_dictionaries({"name": TEXT, "arguments": TEXT})}
    ),
    min_size=1, max_size=3,
)  # fmt: skip
PARTS = st.lists(
    st.fixed_dictionaries(
        {"type": st.sampled_from(["text", "thinking", "refusal"]), "text": TEXT}, optional={"x": JSON}
    ),
    max_size=3,
)
MESSAGES = st.lists(
    st.fixed_dictionaries({"role": st.just("user"), "content": TEXT | PARTS}, optional={"name": TEXT})
    | st.fixed_dictionaries({"role": st.just("assistant"), "tool_calls": CALLS})
    | st.fixed_dictionaries({"role": st.just("assistant"), "content": st.none(), "reasoning_content": TEXT}),
    min_size=1, max_size=4,
)  # fmt: skip
NAMES = st.sampled_from(["response_format", "functions", "user", "prediction", "metadata", "reasoning", "whatever"])
PARAMS = st.dictionaries(NAMES, JSON, max_size=4)


def text_bytes(value: Any) -> int:
    """The bytes of all text that a template could write out of a value: what no tokenizer makes more tokens of."""
    if isinstance(value, str):
        return len(value.encode("utf-8", "surrogatepass"))
    if isinstance(value, dict):
        return sum(text_bytes(key) + text_bytes(item) for key, item in value.items())
    return sum(map(text_bytes, value)) if isinstance(value, list) else 0


@given(MESSAGES, st.lists(st.fixed_dictionaries({"type": st.just("function"), "function": JSON}), max_size=2),
       PARAMS, PARAMS, PARAMS)  # fmt: skip
def test_no_tokenizer_makes_more_of_the_body_than_the_bound(
    messages: Any, tools: Any, params: Any, beside: Any, extra: Any
) -> None:
    if beside:
        params = {**params, "extra_body": beside}
    request = RouteRequest(messages=tuple(messages), tools=tuple(tools), params=params)
    call = ProviderCall(deployment=WHERE, messages=request.messages, tools=request.tools, params=params)
    body = json.loads(chat_body(call, extra, stream=False))
    read = sum(text_bytes(body[key]) for key in body if key != "model")
    bound = work_of(request, 100, extra).input_bound
    assert bound >= read - sum(len(key) for key in body)
    # Nor does one that counts three bytes of the body as it travels, escapes and all, for a token.
    if all(ord(c) >= 32 for c in json.dumps(body, ensure_ascii=False)):
        assert bound >= len(json.dumps(body)) // 3 - 32


LIMITS = st.dictionaries(
    st.sampled_from(["max_tokens", "max_completion_tokens", "n", "best_of", "max_new_tokens"]),
    st.none() | st.integers(1, 10**6),
)


@given(LIMITS, LIMITS, LIMITS, st.sampled_from([None, "max_tokens", "max_completion_tokens"]))
def test_what_is_held_for_is_what_is_sent(own: Any, beside: Any, extra: Any, name: str | None) -> None:
    params = {**own, "extra_body": beside} if beside else own
    request = RouteRequest(messages=tuple(as_messages("hi")), params=params)
    work = work_of(request, 4096, extra)
    sent = dict(one_limit(params))
    if work.added_limit is not None:
        sent["max_tokens"] = work.added_limit
    call = ProviderCall(deployment=WHERE, messages=request.messages, params=sent)
    body = json.loads(chat_body(call, extra, stream=False, output_limit=name))
    limits = [body[key] for key in ("max_tokens", "max_completion_tokens") if key in body]
    assert len(limits) == 1 or (not limits and "max_new_tokens" in body)
    written = max([*limits, body.get("max_new_tokens", 0)]) * max(body.get("n", 1), body.get("best_of", 1))
    assert work.output_bound is not None
    assert work.output_bound * work.answers >= written
    assert name is None or set(body) & {"max_tokens", "max_completion_tokens"} <= {name}


def test_of_two_limits_the_one_that_counts_is_sent_under_the_name_that_all_know() -> None:
    both = {"max_tokens": 100_000, "max_completion_tokens": 5}
    assert one_limit(both) == {"max_tokens": 5}
    assert output_limit_of(sent_params({}, both)) == 5
    plain = {"max_tokens": 5, "temperature": 0}
    assert one_limit(plain) is plain


def test_a_calls_own_limit_replaces_that_of_the_file_whatever_its_name() -> None:
    assert sent_params({"max_completion_tokens": 100_000}, {"max_tokens": 5}) == {"max_tokens": 5}
    assert sent_params({"max_completion_tokens": 9}, {"max_tokens": None}) == {"max_completion_tokens": 9}
    assert sent_params({"seed": 1}, {"seed": None}) == {}


def test_several_answers_count_wherever_they_were_asked_for() -> None:
    assert answers_of(sent_params({"n": 10}, {})) == 10
    assert answers_of(sent_params({"best_of": 20}, {"n": 2})) == 20
    assert answers_of(sent_params({}, {"extra_body": {"n": 7}})) == 7
    assert answers_of({"n": "many"}) == answers_of({"n": True}) == answers_of({}) == 1


def user(content: Any, **more: Any) -> Any:
    return [{"role": "user", "content": content, **more}]


def test_what_the_provider_reads_beside_what_was_sent_has_no_bound() -> None:
    paper = {"type": "file", "file": {"file_data": "x"}, "text": "a paper that calls itself a text"}
    assert size_of(user([paper])).bound >= UNBOUNDED
    assert size_of(user("hi"), [{"type": "web_search"}]).bound >= UNBOUNDED
    assert size_of(user("hi"), (), {"web_search_options": {}}).bound >= UNBOUNDED
    assert size_of([{"role": "assistant", "content": None, "audio": {"id": "a1"}}]).bound >= UNBOUNDED
    assert size_of(user("hi"), [{"type": "function", "function": {"name": "f"}}]).bound < UNBOUNDED


def test_sound_is_bounded_by_its_bytes_where_the_format_allows_no_silence_for_nothing() -> None:
    def heard(form: str) -> int:
        return size_of(user([{"type": "input_audio", "input_audio": {"data": "x" * 4000, "format": form}}])).bound

    assert 4000 <= heard("wav") < 6000
    assert heard("opus") >= UNBOUNDED


def test_a_prediction_may_be_billed_as_output() -> None:
    request = RouteRequest(
        messages=tuple(as_messages("hi")), params={"max_tokens": 5, "prediction": {"content": "x" * 4000}}
    )
    assert work_of(request).predicted >= 4000


@pytest.mark.parametrize("tools", [0, 1])
def test_a_tool_brings_the_text_that_explains_tools(tools: int) -> None:
    tool = {"type": "function", "function": {"name": "f"}}
    assert (size_of(user("hi"), [tool] * tools).bound > 600) is bool(tools)
