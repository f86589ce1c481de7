"""The pure half of the local provider: schemas, rendering, reading replies, choosing among samples."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routekit.builtin.providers.local.best_of import Sample, choose, normalised
from routekit.builtin.providers.local.grammar import UnsupportedRequestError, answer_schema, enforceable, reply_schema
from routekit.builtin.providers.local.prompt import instructions, render, signature
from routekit.builtin.providers.local.tool_choice import THRESHOLD, narrowed
from routekit.builtin.providers.local.tools import AnswerText, choose_tools, parse, plan
from routekit.errors import InvalidRequestError

WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Current weather\n in a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "unit": {"enum": ["c", "f"]}, "days": {"type": "integer"}},
            "required": ["city"],
        },
    },
}
SEARCH: dict[str, Any] = {"type": "function", "function": {"name": "search", "parameters": {"type": "object"}}}
USER = {"role": "user", "content": "Is it cold in Oslo?"}


def test_a_tool_is_one_line() -> None:
    assert signature(WEATHER["function"]) == (
        'get_weather(city: string, unit?: "c"|"f", days?: integer): Current weather in a city'
    )


def test_auto_offers_an_answer_and_every_tool() -> None:
    schema = reply_schema([WEATHER["function"], SEARCH["function"]], may_answer=True)
    answer, weather, search = schema["anyOf"]
    assert list(answer["properties"]) == ["answer"]
    assert weather["properties"]["tool"] == {"const": "get_weather"}
    assert weather["properties"]["arguments"]["additionalProperties"] is False
    assert search["properties"]["tool"] == {"const": "search"}


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "get_weather"}}])
def test_a_demanded_tool_leaves_no_room_for_an_answer(choice: Any) -> None:
    made = plan([USER], [WEATHER], {"tool_choice": choice})
    assert made.schema is not None
    assert made.schema["properties"]["tool"] == {"const": "get_weather"}
    assert "anyOf" not in made.schema


def test_no_tools_wanted_is_plain_text() -> None:
    made = plan([USER], [WEATHER], {"tool_choice": "none"})
    assert made.schema is None
    assert made.messages == (USER,)


@pytest.mark.parametrize(
    ("tools", "choice"),
    [
        ([WEATHER], {"type": "function", "function": {"name": "nope"}}),
        ([WEATHER], "sometimes"),
        ([], "required"),
        ([{"name": "flat"}], "auto"),
    ],
)
def test_a_choice_that_cannot_be_is_refused(tools: list[Any], choice: Any) -> None:
    with pytest.raises(InvalidRequestError):
        choose_tools(tools, choice)


def test_definitions_of_several_tools_do_not_mix() -> None:
    def tool(name: str, kind: str) -> dict[str, Any]:
        return {
            "name": name,
            "parameters": {
                "type": "object",
                "properties": {"x": {"$ref": "#/$defs/X"}},
                "$defs": {"X": {"type": "object", "properties": {"again": {"$ref": "#/$defs/X"}, "v": {"type": kind}}}},
            },
        }

    schema = reply_schema([tool("a", "string"), tool("b", "integer")], may_answer=False)
    first, second = schema["anyOf"]
    assert first["properties"]["arguments"]["properties"]["x"]["$ref"] == "#/$defs/tool0.X"
    assert second["properties"]["arguments"]["properties"]["x"]["$ref"] == "#/$defs/tool1.X"
    assert schema["$defs"]["tool0.X"]["properties"]["v"] == {"type": "string"}
    assert schema["$defs"]["tool1.X"]["properties"]["again"] == {"$ref": "#/$defs/tool1.X"}


def test_keywords_that_would_not_be_enforced_are_refused() -> None:
    for schema in (
        {"not": {"type": "string"}},
        {"type": "array", "uniqueItems": True},
        {"properties": {"a": {"if": {}}}},
    ):
        with pytest.raises(UnsupportedRequestError, match="cannot enforce"):
            enforceable(schema, "response_format")
    assert UnsupportedRequestError("x").fall_back
    assert not UnsupportedRequestError("x").retry_here


def test_a_property_may_be_called_like_a_keyword() -> None:
    schema = {"type": "object", "properties": {"not": {"type": "string"}, "format": {"type": "string"}}}
    assert set(enforceable(schema, "x")["properties"]) == {"not", "format"}


def test_annotations_and_unknown_formats_are_left_out_and_objects_closed() -> None:
    schema = {
        "title": "T",
        "type": "object",
        "properties": {"a": {"type": "string", "format": "color", "default": "x"}},
    }
    assert enforceable(schema, "x") == {
        "type": "object",
        "properties": {"a": {"type": "string"}},
        "additionalProperties": False,
    }
    combined = enforceable({"allOf": [{"properties": {"a": {}}}, {"properties": {"b": {}}}]}, "x")
    assert "additionalProperties" not in str(combined)


@pytest.mark.parametrize(
    "wrong", [{"type": "xml"}, "json", {"type": "json_schema"}, {"type": "json_schema", "json_schema": {}}]
)
def test_a_wrong_response_format_is_refused(wrong: Any) -> None:
    with pytest.raises(InvalidRequestError, match="response_format"):
        answer_schema(wrong)


def test_history_becomes_plain_chat() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city":"Oslo"}'}}
    history = [
        {"role": "developer", "content": "Be kind."},
        USER,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "-3 C"}]},
    ]
    told = render(history, "TOOLS")
    assert [message["role"] for message in told] == ["system", "user", "assistant", "user"]
    assert told[0]["content"] == "Be kind.\n\nTOOLS"
    assert json.loads(told[2]["content"]) == {"tool": "get_weather", "arguments": {"city": "Oslo"}}
    assert told[3]["content"] == "Result of get_weather: -3 C"
    plain = render(history)
    assert [message["role"] for message in plain] == ["system", "user"]
    assert plain[1]["content"] == "Is it cold in Oslo?\n\nResult of get_weather: -3 C"


def test_the_models_own_system_message_only_where_there_is_none() -> None:
    assert render([USER], system="Default.")[0] == {"role": "system", "content": "Default."}
    given_one = render([{"role": "system", "content": "Mine."}, USER], system="Default.")
    assert given_one[0]["content"] == "Mine."


def test_pictures_are_refused_so_that_others_may_be_asked() -> None:
    with pytest.raises(UnsupportedRequestError, match="image_url"):
        render([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}])


def test_replies_are_read() -> None:
    assert parse('{"answer": "yes"}').text == "yes"
    call = parse('{"tool": "f", "arguments": {"ä": 1}}')
    assert (call.tool, call.arguments) == ("f", '{"ä": 1}')
    assert parse('{"answer": {"a": 1}}', structured=True).text == '{"a": 1}'
    for cut in ('{"answer": "ye', '{"tool": "f", "arg', "{}", "[]"):
        with pytest.raises(ValueError):  # noqa: PT011  # JSONDecodeError and our own are both meant
            parse(cut)


@given(st.text(st.characters(exclude_categories=["Cs"])), st.integers(1, 7), st.booleans())
def test_an_answer_streams_to_the_same_text(text: str, size: int, ascii_only: bool) -> None:
    raw = '{"answer": ' + json.dumps(text, ensure_ascii=ascii_only) + "}"
    reader = AnswerText()
    read = "".join(reader.feed(raw[place : place + size]) for place in range(0, len(raw), size))
    assert read == text
    assert reader.ended


@given(st.text(st.characters(exclude_categories=["Cs"])), st.integers(0, 200))
def test_a_cut_answer_streams_a_beginning_of_it(text: str, length: int) -> None:
    raw = '{"answer": ' + json.dumps(text) + "}"
    assert text.startswith(AnswerText().feed(raw[:length]))


_SCHEMAS = st.recursive(
    st.sampled_from([{"type": "string"}, {"type": "integer"}, {"enum": [1, 2]}, {}]),
    lambda inner: st.one_of(
        st.builds(
            lambda p: {"type": "object", "properties": p}, st.dictionaries(st.text(max_size=5), inner, max_size=3)
        ),
        st.builds(lambda i: {"type": "array", "items": i}, inner),
        st.builds(lambda o: {"anyOf": o}, st.lists(inner, min_size=1, max_size=3)),
    ),
    max_leaves=8,
)


@given(_SCHEMAS)
def test_making_a_schema_enforceable_twice_changes_nothing(schema: dict[str, Any]) -> None:
    once = enforceable(schema, "x")
    assert enforceable(once, "x") == once


@given(
    st.lists(
        st.fixed_dictionaries({"role": st.sampled_from(["system", "user", "assistant", "tool"]), "content": st.text()})
    )
)
def test_rendered_chat_never_repeats_a_role(messages: list[dict[str, str]]) -> None:
    told = render(messages, "TOOLS", "SYSTEM")
    roles = [message["role"] for message in told]
    assert roles[0] == "system"
    assert all(one != other for one, other in itertools.pairwise(roles))


def _similar(scores: list[float]) -> Any:
    return lambda text, others: scores[: len(others)]


def test_auto_takes_the_most_similar_tool_or_none() -> None:
    tools, choice = narrowed([USER], [SEARCH, WEATHER], "auto", _similar([0.1, THRESHOLD]))
    assert (len(tools), choice["function"]["name"]) == (2, "get_weather")
    assert narrowed([USER], [SEARCH, WEATHER], None, _similar([0.1, 0.0])) == ((), None)


def test_required_always_takes_one_and_a_named_one_stays() -> None:
    _, choice = narrowed([USER], [SEARCH, WEATHER], "required", _similar([0.02, -0.1]))
    assert choice["function"]["name"] == "search"
    assert narrowed([USER], [SEARCH], "none", _similar([1.0])) == ((SEARCH,), "none")


def test_auto_answers_once_results_are_in() -> None:
    history = [USER, {"role": "tool", "tool_call_id": "1", "content": "cold"}]
    assert narrowed(history, [WEATHER], "auto", _similar([1.0])) == ((), None)


def test_instructions_name_both_ways() -> None:
    text = instructions([WEATHER["function"]], may_answer=True)
    assert "get_weather(" in text
    assert '{"answer":' in text
    assert '{"answer":' not in instructions([WEATHER["function"]], may_answer=False)


def _sample(text: str, logprob: float, finish: str = "stop") -> Sample:
    return Sample(text=text, finish_reason=finish, logprobs=[{"logprob": logprob}])


def test_logprob_takes_the_likeliest_complete_sample() -> None:
    cut = _sample("never ending", -0.1, "length")
    assert choose([cut, _sample("a", -2.0), _sample("b", -1.0)], "logprob").text == "b"
    assert choose([cut], "logprob") is cut


def test_majority_counts_equal_answers() -> None:
    samples = [_sample("Lyon", -0.1), _sample("Paris.", -3.0), _sample("paris", -4.0)]
    assert choose(samples, "majority").text == "Paris."
    objects = [_sample('{"a": 2}', -0.1), _sample('{"a": 1, "b": 2}', -3.0), _sample('{"b":2,"a":1}', -4.0)]
    assert choose(objects, "majority").text == '{"a": 1, "b": 2}'


def test_majority_of_different_texts_is_the_one_most_like_the_others() -> None:
    samples = [_sample("bananas are yellow", -0.1), _sample("the capital is Paris", -3.0), _sample("it is Paris", -3.1)]
    assert "Paris" in choose(samples, "majority").text


@given(
    st.lists(st.tuples(st.text(max_size=8), st.floats(-9, 0)), min_size=1, max_size=6),
    st.sampled_from(["logprob", "majority"]),
)
def test_the_choice_is_one_of_the_samples(pairs: list[tuple[str, float]], select: Any) -> None:
    samples = [_sample(text, logprob) for text, logprob in pairs]
    assert any(choose(samples, select) is sample for sample in samples)


@given(st.text())
def test_normalising_twice_changes_nothing(text: str) -> None:
    once = normalised(text)
    if not once.startswith(("{", "[")):
        assert normalised(once).split() == [word for word in once.split() if word not in ("a", "an", "the")]
