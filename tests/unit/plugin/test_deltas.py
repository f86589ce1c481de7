"""Deltas added up: what stands beside the text survives as well."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routekit.plugin.deltas import add_up


def said(**more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": None, **more}


def test_texts_are_joined() -> None:
    deltas = [
        {"role": "assistant", "content": ""},
        {"reasoning": "I "},
        {"reasoning": "I "},
        {"content": "a"},
        {"refusal": "n"},
    ]
    assert add_up([*deltas, {"refusal": "o"}]) == said(content="a", reasoning="I I ", refusal="no")


def test_a_function_call_comes_together() -> None:
    deltas = [
        {"function_call": {"name": "f", "arguments": ""}},
        {"function_call": {"name": "f", "arguments": '{"a":'}},
        {"function_call": {"arguments": "1}"}},
    ]
    assert add_up(deltas) == said(function_call={"name": "f", "arguments": '{"a":1}'})


def test_sound_comes_together() -> None:
    deltas: list[dict[str, Any]] = [
        {"audio": {"id": "x", "transcript": "Hel"}},
        {"audio": {"id": "x", "transcript": "lo", "data": "QQ"}},
        {"audio": {"data": "QQ"}},
        {"audio": {"expires_at": 9}},
    ]
    assert add_up(deltas) == said(audio={"id": "x", "transcript": "Hello", "data": "QQQQ", "expires_at": 9})


def test_reasoning_details_belong_together_by_index_and_type() -> None:
    def detail(index: int, kind: str, **more: Any) -> dict[str, Any]:
        return {"reasoning_details": [{"type": f"reasoning.{kind}", "index": index, "format": "x", **more}]}

    made = add_up(
        [
            detail(0, "text", text="I "),
            detail(0, "text", text="think.", signature="s"),
            detail(0, "encrypted", data="d"),
        ]
    )
    assert made["reasoning_details"] == [
        {"type": "reasoning.text", "index": 0, "format": "x", "text": "I think.", "signature": "s"},
        {"type": "reasoning.encrypted", "index": 0, "format": "x", "data": "d"},
    ]


def test_pieces_of_thinking_without_an_index_join_the_last_until_it_is_signed() -> None:
    pieces = [("I ", ""), ("I ", ""), ("think.", ""), ("", "s1"), ("More.", ""), ("", "s2")]
    deltas = [{"thinking_blocks": [{"type": "thinking", "thinking": text, "signature": sign}]} for text, sign in pieces]
    assert add_up(deltas)["thinking_blocks"] == [
        {"type": "thinking", "thinking": "I I think.", "signature": "s1"},
        {"type": "thinking", "thinking": "More.", "signature": "s2"},
    ]


@pytest.mark.parametrize("cumulative", [True, False])
def test_annotations_and_citations_are_kept_once_each(cumulative: bool) -> None:
    notes = [{"type": "url_citation", "url_citation": {"url": f"https://example.test/{n}"}} for n in range(3)]
    links = [f"https://example.test/{n}" for n in range(3)]
    deltas = [
        {"annotations": notes[: n + 1] if cumulative else [notes[n]], "citations": links if cumulative else [links[n]]}
        for n in range(3)
    ]
    made = add_up(deltas)
    assert made["annotations"] == notes
    assert made["citations"] == links


def test_parts_that_are_no_text_keep_their_order() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:,"}}
    made = add_up([{"content": "See "}, {"content": "this:"}, {"content_parts": [picture]}, {"content": "Nice."}])
    assert made["content"] == [{"type": "text", "text": "See this:"}, picture, {"type": "text", "text": "Nice."}]


def test_what_says_nothing_changes_nothing() -> None:
    assert add_up([]) == said()
    assert add_up([{"role": "x", "audio": None}, {"content": ""}]) == said(content="")


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["content", "reasoning", "audio", "annotations", "function_call", "extras", "x"]),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.text(max_size=4),
                lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
                max_leaves=8,
            ),
            max_size=3,
        ),
        max_size=6,
    )
)
def test_anything_adds_up_to_plain_data(deltas: list[dict[str, Any]]) -> None:
    def plain(value: Any) -> bool:
        if value.__class__ is dict:
            return all(map(plain, value.values()))
        return (
            all(map(plain, value)) if value.__class__ is list else value is None or value.__class__ in (str, int, bool)
        )

    assert plain(add_up(deltas))
