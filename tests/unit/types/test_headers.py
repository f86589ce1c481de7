"""Headers of a call: only what HTTP carries, nothing of the deployment's, and no value in any `repr`."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routekit.errors import InvalidInputError
from routekit.types import RouteRequest
from routekit.types.headers import RESERVED, CallHeaders

SECRET = "s3cret-value-0123456789"


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_what_is_the_deployments_is_refused_in_any_letters(name: str) -> None:
    for written in (name, name.title(), name.upper()):
        with pytest.raises(InvalidInputError, match="deployment") as refused:
            CallHeaders.checked({written: SECRET})
        assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    "given",
    ["X: y", [("X", "y")], {"X": 1}, {"X": b"y"}, {1: "y"}, {"": "y"}, {"X Y": "z"}, {"X:": "y"}, {"X\r\n": "y"},
     {"X": f"{SECRET}\r\nEvil: 1"}, {"X": "a\nb"}, {"X": "a\0b"}, {"X": "\u4f60"}, {"X": "a\x7f"}, {"X": "1", "x": "2"},
     {f"X-{place}": "y" for place in range(100)}, {"X": "y" * 20_000}],
)  # fmt: skip
def test_what_http_does_not_carry_is_refused_without_showing_it(given: Any) -> None:
    with pytest.raises(InvalidInputError, match="extra_headers") as refused:
        CallHeaders.checked(given)
    assert SECRET not in str(refused.value)


def test_nothing_shows_a_value() -> None:
    headers = CallHeaders.checked({"X-Token": SECRET})
    request = RouteRequest(messages=(), headers=headers)
    assert headers["X-Token"] == SECRET
    for shown in (repr(headers), str(headers), f"{headers}", repr(request)):
        assert SECRET not in shown


@given(st.dictionaries(st.sampled_from(["X-A", "X-B", "X-C"]), st.text("abc", max_size=3)))
def test_the_repr_tells_values_apart_and_no_order(values: dict[str, str]) -> None:
    one = CallHeaders.checked(values)
    again = CallHeaders.checked({name.lower(): value for name, value in reversed(list(values.items()))})
    other = CallHeaders.checked({**values, "X-A": "another"})
    assert (one.digest, repr(one)) == (again.digest, repr(again))
    assert one.digest != other.digest
    assert repr(one) != repr(other)
