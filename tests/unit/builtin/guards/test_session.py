from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routekit.builtin.guards.pii.guard import PiiGuard
from routekit.plugin.deltas import add_up
from routekit.types import RouteRequest

ASKED = "mail anna@x.io and bob@y.io, or call +49 30 23125525"
SAID = (
    "I wrote to [EMAIL_1] first. Then a long while nothing happened, and we waited for what was to come. "
    "[EMAIL_2] said: ask eve@z.io, card 4111 1111 1111 1111, or [PHONE_1]. [EMAIL_9] is nobody, [EMAIL is open"
)


def session(**options: Any) -> Any:
    request = RouteRequest(messages=({"role": "user", "content": ASKED},))
    verdict = PiiGuard(**options).check_request(request)
    assert verdict.messages is not None
    assert "@" not in str(verdict.messages)
    return verdict.session


def streamed(found: Any, deltas: list[dict[str, Any]]) -> dict[str, Any]:
    return add_up([*(found.feed(delta) for delta in deltas), found.end()])


def test_own_values_are_put_back_and_others_taken_out() -> None:
    read = session().message({"role": "assistant", "content": SAID})["content"]
    assert "wrote to anna@x.io first" in read
    assert "bob@y.io said: ask [EMAIL_3], card [CREDIT_CARD_1], or +49 30 23125525. [EMAIL_9] is nobody" in read


@given(cuts=st.lists(st.integers(0, len(SAID)), max_size=12), response=st.booleans())
def test_a_stream_is_read_like_the_whole_wherever_it_is_cut(cuts: list[int], response: bool) -> None:
    options = {} if response else {"apply_to": ["request"]}
    places = [0, *sorted(cuts), len(SAID)]
    deltas = [{"content": SAID[a:b]} for a, b in itertools.pairwise(places)]
    whole = session(**options).message({"role": "assistant", "content": SAID})
    assert streamed(session(**options), deltas)["content"] == whole["content"]


@given(
    text=st.text("ab1@. \n+4[_]EMAIL9:", max_size=300),
    cuts=st.lists(st.integers(0, 300), max_size=8),
)
def test_so_is_any_text(text: str, cuts: list[int]) -> None:
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    deltas = [{"content": text[a:b]} for a, b in itertools.pairwise(places) if b > a]
    whole = session().message({"role": "assistant", "content": text})["content"]
    assert (streamed(session(), deltas)["content"] or "") == whole


@pytest.mark.parametrize("options", [{}, {"apply_to": ["request"]}])
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_arguments_stay_json(options: dict[str, Any], size: int) -> None:
    arguments = json.dumps({"to": "[EMAIL_1]", "n": 1})
    call: dict[str, Any] = {"index": 0, "id": "c", "type": "function", "function": {"name": "mail", "arguments": ""}}
    pieces = [arguments[start : start + size] for start in range(0, len(arguments), size)]
    deltas = [
        {"tool_calls": [call]},
        *({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]} for piece in pieces),
    ]
    message = streamed(session(**options), deltas)
    assert json.loads(message["tool_calls"][0]["function"]["arguments"]) == {"to": "anna@x.io", "n": 1}


def test_prose_is_not_held_back_for_long() -> None:
    found = session(apply_to=["request"])
    assert found.feed({"content": "hello "}) == {"content": "hello "}
    assert found.feed({"content": "see [EMA"}) == {"content": "see "}
    assert found.feed({"content": "IL_1] now"}) == {"content": "anna@x.io now"}


def test_what_others_see_has_names_for_values() -> None:
    found = session()
    read = found.message({"role": "assistant", "content": "for [EMAIL_1]"})
    assert found.masked(read)["content"] == "for [EMAIL_1]"
    assert "anna" not in repr(found)
