"""Counts before the call."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routekit.errors import InvalidInputError
from routekit.types import Candidate, Deployment, Model, Price, Work, as_messages, count_tokens
from routekit.types.tokens import UNBOUNDED

texts = st.text(max_size=300)


@given(st.lists(texts, min_size=1, max_size=5))
def test_the_bound_is_never_below_the_bytes_of_the_text(parts) -> None:
    messages = [{"role": "user", "content": text} for text in parts]
    likely, bound = count_tokens(messages)
    assert bound >= sum(len(text.encode()) for text in parts)
    assert 0 < likely <= bound


@given(st.lists(texts, max_size=3), texts)
def test_more_text_is_never_fewer_tokens(parts, more) -> None:
    messages = [{"role": "user", "content": text} for text in parts]
    longer = [*messages, {"role": "user", "content": more}]
    assert count_tokens(longer) > count_tokens(messages)


def test_tools_parts_and_tool_calls_count() -> None:
    plain = [{"role": "user", "content": "x"}]
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    picture = [
        {"role": "user", "content": [{"type": "text", "text": "x"}, {"type": "image_url", "image_url": {"url": "u"}}]}
    ]
    called = [*plain, {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "function": {"name": "f"}}]}]
    for more in ((plain, [tool]), (picture, []), (called, [])):
        assert count_tokens(*more) > count_tokens(plain)


@pytest.mark.parametrize("wrong", ["", [], [{}], [{"role": "robot"}], ["hi"], {"role": "user", "content": "x"}])
def test_what_are_no_messages_is_refused(wrong) -> None:
    with pytest.raises(InvalidInputError):
        as_messages(wrong)


def test_a_picture_is_bounded_and_a_document_is_not() -> None:
    picture = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}]}
    paper = {"role": "user", "content": [{"type": "file", "file": {"file_id": "f1"}}]}
    assert 48_000 < count_tokens([picture])[1] < UNBOUNDED
    assert count_tokens([paper])[1] >= UNBOUNDED
    assert count_tokens([paper])[0] < 10_000


def test_the_worst_case_of_a_document_is_the_models_window_or_unknown() -> None:
    work = Work(1700, UNBOUNDED + 40, 256, 100)
    price = Price(input=1_000_000_000, output=0)

    def worst(window: int | None, price: Price | None = price) -> int | None:
        model = Model(id="m", price=price, context_window=window)
        return Candidate(Deployment(name="d", provider="p", model=model), 0.5, False, work).worst_nanos

    assert worst(8000) == price.worst_nanos(8000, 100)
    assert worst(None) is None
    assert worst(None, Price(input=0, output=0)) == 0
