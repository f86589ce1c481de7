from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routekit.builtin.compressors.json_minify import JsonMinify, minify
from routekit.types import RouteRequest, as_messages, count_tokens

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
DOCUMENTS = VALUES.filter(lambda value: isinstance(value, (dict, list)))


def compressed(role: str, content: Any) -> Any:
    request = RouteRequest(messages=as_messages([{"role": role, "content": content}]))
    compression = JsonMinify().compress(request, None)
    assert compression.lossless
    return compression.request.messages[0]["content"]


def exact(text: str) -> Any:
    return json.loads(text, parse_float=str, parse_int=lambda s: ("int", s), parse_constant=str, object_pairs_hook=list)


@pytest.mark.parametrize("role", ["user", "tool", "function"])
def test_minifies_a_whole_json_text(role: str) -> None:
    assert compressed(role, ' {\n  "a": [1, 2 ],\r\n\t"b c": "d  e" }\n') == '{"a":[1,2],"b c":"d  e"}'


@pytest.mark.parametrize("role", ["system", "developer", "assistant"])
def test_leaves_other_roles_alone(role: str) -> None:
    assert compressed(role, '{ "a": 1 }') == '{ "a": 1 }'


@pytest.mark.parametrize(
    "text",
    [
        "1 2",
        "{ not json }",
        '{"a": 1} {"b": 2}',
        '"a  b"',
        "[1, 2",
        "[ " * 100_000 + "]" * 100_000,
        '{"unfinished": "' + '"' * 5 + " }",
        "```json\n{ broken\n```",
        "```json\n{ }",
        "say ```json { \"a\": 1 } ``` inline",
        "```python\n{ 'a': 1 }\n```",
        "{\u00a0}",
    ],
)  # fmt: skip
def test_leaves_everything_else_alone(text: str) -> None:
    assert compressed("user", text) == text


def test_numbers_escapes_duplicates_and_order_stay_as_written() -> None:
    text = r'{ "b": 1.0, "a": 1e400, "a": -0.0, "c": 12345678901234567890.10, "d": "\u00e9\/ \"x\" \\" }'
    assert (
        compressed("tool", text) == r'{"b":1.0,"a":1e400,"a":-0.0,"c":12345678901234567890.10,"d":"\u00e9\/ \"x\" \\"}'
    )


def test_minifies_fenced_blocks_inside_of_prose() -> None:
    text = 'Look:\n```json\n{\n  "a": 1\n}\n```\nand\n```json\r\n[ 1 ]\r\n```\r\ndone  here'
    assert compressed("user", text) == 'Look:\n```json\n{"a":1}\n```\nand\n```json\r\n[1]\r\n```\r\ndone  here'


def test_minifies_text_parts_and_leaves_pictures_alone() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:x"}}
    parts = [{"type": "text", "text": '{ "a": 1 }', "cache_control": {"type": "ephemeral"}}, picture]
    new = compressed("user", parts)
    assert new == [{"type": "text", "text": '{"a":1}', "cache_control": {"type": "ephemeral"}}, picture]
    assert new[1] is picture
    assert parts[0]["text"] == '{ "a": 1 }', "the caller's message was changed"


def test_hands_the_same_request_back_when_nothing_changes() -> None:
    request = RouteRequest(messages=as_messages("hello"))
    compression = JsonMinify().compress(request, None)
    assert compression.request is request
    assert compression.removed == ""


@given(DOCUMENTS, st.integers(0, 4), st.booleans())
def test_equal_never_larger_and_idempotent(document: Any, indent: int, ascii_only: bool) -> None:
    text = json.dumps(document, indent=indent, ensure_ascii=ascii_only)
    small = minify(text)
    assert exact(small) == exact(text)
    assert len(small) <= len(text)
    assert minify(small) == small
    assert small == json.dumps(document, separators=(",", ":"), ensure_ascii=ascii_only)


@given(DOCUMENTS, st.text(max_size=30), st.text(max_size=30))
def test_prose_around_a_fence_survives(document: Any, before: str, after: str) -> None:
    block = json.dumps(document, indent=2, ensure_ascii=False)
    text = f"x{before}\n```json\n{block}\n```\n{after}"
    new = compressed("user", text)
    small = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
    if "`" not in before:
        assert new == f"x{before}\n```json\n{small}\n```\n{after}"
    assert compressed("user", new) == new


@given(
    st.text(alphabet=st.sampled_from(list('{}[]",: \n\\`1eE.json-')), max_size=60), st.sampled_from(["user", "tool"])
)
def test_any_text_reads_the_same(text: str, role: str) -> None:
    request = RouteRequest(messages=as_messages([{"role": role, "content": text}]))
    new = JsonMinify().compress(request, None).request
    assert count_tokens(new.messages) <= count_tokens(request.messages)
    content = new.messages[0]["content"]
    assert "".join(content.split()) == "".join(text.split())
