"""Joining what somebody else says to what was said: nothing twice, nothing lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routekit.engine.history.continuation import Joint, continuable, with_prefill
from routekit.types import Chunk, RouteRequest

ASK = RouteRequest(messages=({"role": "user", "content": "hi"},))
LONG = "The quick brown fox jumps over"


def cut(text: str, places: list[int]) -> list[str]:
    ends = sorted({place % (len(text) + 1) for place in places} | {len(text)})
    return [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def joined(said: str, pieces: list[str]) -> str:
    joint = Joint(said)
    return said + "".join([*map(joint.feed, pieces), joint.end()])


words = st.text(alphabet="ab \n", max_size=30)
places = st.lists(st.integers(0, 60), max_size=8)


@given(said=words.map(lambda text: LONG + text), rest=words, at=places)
def test_a_repeated_beginning_is_taken_out_however_it_is_cut(said: str, rest: str, at: list[int]) -> None:
    sent = said.rstrip()
    space = said[len(sent) :]
    whole = joined(said, cut(sent + space + rest, at))
    assert whole == said + rest or whole == said  # the latter: only white space came, held as a part of `space`
    assert whole.rstrip() == (said + rest).rstrip()


@given(said=words.map(lambda text: LONG + text), rest=words.map(lambda text: "z" + text), at=places)
def test_what_goes_on_goes_on(said: str, rest: str, at: list[int]) -> None:
    assert joined(said, cut(rest, at)) == said + rest


@given(said=st.sampled_from([LONG + " ", LONG + "\n\n", LONG]), rest=words.map(lambda text: "z" + text), at=places)
def test_white_space_at_the_seam_comes_once(said: str, rest: str, at: list[int]) -> None:
    space = said[len(said.rstrip()) :]
    assert joined(said, cut(space + rest, at)) == said + rest


def test_a_short_beginning_may_come_twice_by_chance() -> None:
    assert joined("ha", ["ha", " ha"]) == "haha ha"


def test_the_start_of_a_repetition_that_ends_early_is_text() -> None:
    assert joined(LONG, [LONG[:10]]) == LONG + LONG[:10]


@pytest.mark.parametrize(
    ("params", "chunks"),
    [
        ({"response_format": {"type": "json_object"}}, [Chunk({"content": "{"})]),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, [Chunk({"content": "{"})]),
        ({}, [Chunk({"content": "a"}), Chunk({"tool_calls": [{"index": 0}]})]),
        ({}, [Chunk({"refusal": "no"})]),
        ({}, [Chunk({"reasoning_content": "hm"})]),
        ({}, [Chunk({"content": " "})]),
        ({"n": 2}, [Chunk({"content": "a"})]),
    ],
    ids=["json", "schema", "tool", "refusal", "reasoning", "blank", "several"],
)
def test_only_plain_text_is_taken_up(params: dict, chunks: list[Chunk]) -> None:
    request = RouteRequest(messages=ASK.messages, params=params)
    assert continuable(request, chunks) is None


def test_text_after_reasoning_is_taken_up() -> None:
    chunks = [Chunk({"reasoning_content": "hm"}), Chunk({"content": "a"}), Chunk({"content": "b"})]
    assert continuable(ASK, chunks) == "ab"


def test_what_was_said_counts_against_the_limit_on_output() -> None:
    assert with_prefill({"max_tokens": 100, "temperature": 0}, "word " * 20)["max_tokens"] < 100
    assert with_prefill({"max_completion_tokens": 3}, "word " * 20)["max_completion_tokens"] == 1
    assert with_prefill({}, "word") == {}
