"""Which names of a call become parameters: known ones, `extra_body`, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routekit.errors import InvalidInputError
from routekit.types.parameters import KNOWN, MEANT, NOT_IN_A_BODY, refuse_unknown, spread

ARGUMENTS = ("strategy", "deadline_s", "max_cost_usd", "scopes")


def test_known_names_and_names_of_other_clients_exclude_each_other() -> None:
    assert not KNOWN & MEANT.keys()
    assert not KNOWN & NOT_IN_A_BODY


@pytest.mark.parametrize("name", sorted(MEANT))
def test_an_option_of_a_client_is_refused_with_what_to_write_instead(name: str) -> None:
    with pytest.raises(InvalidInputError, match="is no argument of a call; ") as refused:
        refuse_unknown([name], ARGUMENTS)
    assert MEANT[name] in str(refused.value)


@pytest.mark.parametrize(
    ("name", "meant"),
    [("temprature", "temperature"), ("max_token", "max_tokens"), ("deadline", "deadline_s"), ("topk", "top_k"),
     ("api_keys", "api_key_env"), ("base_urls", "base_url"), ("strategie", "strategy"), ("tool_choise", "tool_choice")],
)  # fmt: skip
def test_a_misspelt_name_is_told_what_it_may_have_meant(name: str, meant: str) -> None:
    with pytest.raises(InvalidInputError, match=meant):
        refuse_unknown([name], ARGUMENTS)


@given(st.text(min_size=1).filter(lambda name: name not in KNOWN))
def test_whatever_is_not_known_is_refused(name: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        refuse_unknown([name], ARGUMENTS)
    assert len(str(refused.value)) < 1000


def test_a_name_without_likeness_is_shown_the_door() -> None:
    with pytest.raises(InvalidInputError, match=r"extra_body=\{'zzzzqqq': "):
        refuse_unknown(["zzzzqqq"], ARGUMENTS)


def test_parameters_in_extra_body_are_parameters_and_the_rest_stays() -> None:
    params: dict[str, Any] = {"top_p": 1, "extra_body": {"top_p": 0, "n": 2, "odd": {"a": 1}, "top_k": None}}
    spread(params)
    assert params == {"top_p": 1, "n": 2, "top_k": None, "extra_body": {"odd": {"a": 1}}}


@pytest.mark.parametrize("own", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize("below", ["max_tokens", "max_completion_tokens"])
def test_a_limit_of_ones_own_replaces_that_of_extra_body_under_either_name(own: str, below: str) -> None:
    params: dict[str, Any] = {own: 5, "extra_body": {below: 9000}}
    spread(params)
    assert params == {own: 5}


@pytest.mark.parametrize("given", [{}, None])
def test_an_empty_extra_body_leaves_nothing(given: Any) -> None:
    params = {"extra_body": given}
    spread(params)
    assert params == {}


@pytest.mark.parametrize("given", [[("a", 1)], "a", 7, {1: 2}, *({name: "x"} for name in sorted(NOT_IN_A_BODY))])
def test_an_extra_body_that_is_none_or_sets_what_the_request_sets_is_refused(given: Any) -> None:
    with pytest.raises(InvalidInputError, match="extra_body"):
        spread({"extra_body": given})
