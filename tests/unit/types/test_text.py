"""Text from outside: what is mended, what is refused, and that nothing else is touched."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routekit.errors import InvalidInputError
from routekit.types import as_messages
from routekit.types.text import DEPTH_MOST, NAME_MOST, as_name, well_formed, well_formed_json

ANY_TEXT = st.text(st.characters(codec=None), max_size=20)
SURROGATES = st.lists(st.sampled_from("a\u00e9\U0001f600\ud800\udbff\udc00\udfff"), max_size=8).map("".join)
TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | SURROGATES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(SURROGATES, inner, max_size=4),
    max_leaves=12,
)


@given(SURROGATES | ANY_TEXT)
def test_well_formed_text_can_be_encoded_and_good_text_is_the_same_object(text: str) -> None:
    mended = well_formed(text)
    mended.encode()
    assert len(mended) == len(text)
    if not any(0xD800 <= ord(character) <= 0xDFFF for character in text):
        assert mended is text


@given(TREES)
def test_every_text_of_a_tree_is_mended_and_the_rest_stays(tree: Any) -> None:
    before = json.dumps(tree)
    mended = well_formed_json(tree, "it")
    json.dumps(mended, ensure_ascii=False).encode()
    assert json.dumps(tree) == before, "the caller's own value was changed"
    if mended is not tree:
        with pytest.raises(UnicodeEncodeError):
            json.dumps(tree, ensure_ascii=False).encode()


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_cannot_carry_are_refused(number: float) -> None:
    with pytest.raises(InvalidInputError, match="temperature holds"):
        well_formed_json(number, "temperature")
    with pytest.raises(InvalidInputError, match="finite"):
        well_formed_json({"a": [{"b": number}]}, "extra_body")


def test_what_contains_itself_is_refused() -> None:
    loop: dict[str, Any] = {}
    loop["again"] = [loop]
    with pytest.raises(InvalidInputError, match="nested"):
        well_formed_json(loop, "tools[0]")
    deep: Any = "x"
    for _ in range(DEPTH_MOST - 1):
        deep = [deep]
    assert well_formed_json(deep, "it") is deep


@pytest.mark.parametrize("name", ["a\ud800", "\udfff", "a\0b", "x" * (NAME_MOST + 1)])
def test_names_are_refused_and_never_mended(name: str) -> None:
    with pytest.raises(InvalidInputError, match="the user") as refused:
        as_name(name, "the user")
    assert name not in str(refused.value)
    str(refused.value).encode()


@pytest.mark.parametrize("name", ["", "ada", "\u00e9\U0001f600", "x" * NAME_MOST, "a\nb"])
def test_good_names_stay(name: str) -> None:
    assert as_name(name, "the user") is name


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": "cut \ud83d"},
        {"role": "user", "content": [{"type": "text", "text": "cut \ud83d"}]},
        {"role": "user", "content": "x", "name": "\udc00"},
        {"role": "tool", "tool_call_id": "1", "content": "\ud800"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "\ud800"}}],
        },
        {"role": "user", "content": "x", "\ud800": 1},
    ],
)
def test_messages_are_mended_wherever_the_text_stands(message: dict[str, Any]) -> None:
    before = repr(message)
    (mended,) = as_messages([message])
    json.dumps(mended, ensure_ascii=False).encode()
    assert "\ufffd" in json.dumps(mended, ensure_ascii=False)
    assert repr(message) == before


def test_a_prompt_is_mended_and_a_good_message_is_handed_on_as_it_is() -> None:
    assert as_messages("cut \ud83d") == ({"role": "user", "content": "cut \ufffd"},)
    message = {"role": "user", "content": [{"type": "text", "text": "\u00e9"}], "extra": 1.5}
    assert as_messages([message])[0] is message


def test_a_number_in_a_message_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidInputError, match=r"messages\[1\]"):
        as_messages([{"role": "user", "content": "x"}, {"role": "user", "content": "x", "n": math.nan}])
