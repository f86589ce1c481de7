"""The key of a cached answer: everything counts but what was looked at and left out."""

from __future__ import annotations

import dataclasses
import json
import typing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routekit.engine.cache.key import NO_EFFECT, cache_key, may_cache, namespace_of, tenant_secret
from routekit.types import Requirements, RouteRequest

SECRET = b"s" * 32
REQUEST = RouteRequest(
    messages=({"role": "user", "content": "hi"},), params={"temperature": 0, "new_field": {"a": [1]}}
)


def digest(request: RouteRequest, asked: object = "s", namespace: str = "n", secret: bytes = SECRET) -> str:
    return cache_key(request, asked, namespace, secret).digest


@pytest.mark.parametrize(
    "change",
    [
        {"messages": ({"role": "user", "content": "hi "},)},
        {"messages": ({"role": "user", "content": "hi", "name": "bob"},)},
        {"tools": ({"type": "function"},)},
        {"params": {"temperature": 0, "new_field": {"a": [2]}}},
        {"params": {"temperature": 0}},
        {"requirements": Requirements(regions=frozenset({"eu"}))},
    ],
)
def test_whatever_can_change_an_answer_changes_the_key(change: dict[str, Any]) -> None:
    assert digest(dataclasses.replace(REQUEST, **change)) != digest(REQUEST)


def test_keys_differ_by_tenant_secret_and_who_is_asked_and_not_by_order_or_by_who_asks() -> None:
    assert digest(REQUEST, "t") != digest(REQUEST)
    assert digest(REQUEST, namespace="other") != digest(REQUEST)
    assert digest(REQUEST, secret=b"t" * 32) != digest(REQUEST)
    params = {"new_field": {"a": [1]}, "temperature": 0, "user": "u", "seed": None}
    assert digest(dataclasses.replace(REQUEST, params=params)) == digest(REQUEST)


def schema_fields() -> list[str]:
    """Every field of a Chat Completions request, as the vendor's own client declares them."""
    from openai.types.chat.completion_create_params import CompletionCreateParamsBase

    fields = set(typing.get_type_hints(CompletionCreateParamsBase))
    assert {"messages", "tools", "temperature", "response_format", "seed"} <= fields
    return sorted(fields - {"messages", "tools", "model"})  # these are the request's own, tested above


VALUES: list[Any] = [0, 1, 0.5, "a", "b", True, False, ["a"], ["b"], {"a": 1}, {"a": 2}, {"a": {"b": [1, {"c": None}]}}]


@pytest.mark.parametrize("field", schema_fields())
def test_every_field_of_the_schema_is_in_the_key_or_on_the_reviewed_list(field: str) -> None:
    plain = RouteRequest(messages=({"role": "user", "content": "hi"},))
    digests = [digest(dataclasses.replace(plain, params={field: value})) for value in VALUES]
    if field in NO_EFFECT:
        assert set(digests) == {digest(plain)}
    else:
        distinct = len({json.dumps(value) for value in VALUES})
        assert len({*digests, digest(plain)}) == distinct + 1


def test_the_reviewed_list_is_what_was_reviewed() -> None:
    assert {"user", "metadata", "store", "stream_options", "safety_identifier", "prompt_cache_key"} == NO_EFFECT


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(min_size=1, max_size=8), plain, max_size=4), st.data())
def test_a_change_anywhere_in_unknown_fields_changes_the_key(params: dict[str, Any], data: st.DataObject) -> None:
    other = data.draw(st.dictionaries(st.text(min_size=1, max_size=8), plain, max_size=4))

    def effective(given: dict[str, Any]) -> str:
        kept = {key: value for key, value in given.items() if key not in NO_EFFECT and value is not None}
        return json.dumps(kept, sort_keys=True)

    same = effective(params) == effective(other)
    one, two = (RouteRequest(messages=(), params=given) for given in (params, other))
    assert (digest(one) == digest(two)) is same


@given(
    st.lists(st.text(max_size=4), max_size=3),
    st.lists(st.text(max_size=4), max_size=3),
    st.none() | st.text(max_size=4),
)
def test_no_two_tenants_share_a_partition(one: list[str], two: list[str], own: str | None) -> None:
    assert (of_user(one, own) == of_user(two, own)) is (one == two)
    assert of_user(one, own) != of_user(one, f"{own}x")
    assert not one or namespace_of(["user"], {"user": one}) != namespace_of(["project"], {"project": one})


def of_user(values: list[str], own: str | None) -> str:
    return namespace_of(["user"], {"user": values}, own)


NAMES = st.lists(st.text(max_size=4), max_size=2)


@given(NAMES, NAMES, NAMES, NAMES, st.none() | st.text(max_size=4), st.none() | st.text(max_size=4))
def test_a_tenant_is_all_that_its_scopes_name(
    project: list[str], user: list[str], other: list[str], another: list[str], own: str | None, theirs: str | None
) -> None:
    kinds = ("project", "user")
    one = namespace_of(kinds, {"project": project, "user": user}, own)
    two = namespace_of(kinds, {"project": other, "user": another}, theirs)
    assert (one == two) is ((project, user, own) == (other, another, theirs))


def test_a_tenants_secret_is_its_own() -> None:
    secrets = {tenant_secret(secret, name) for secret in (SECRET, b"t" * 32) for name in ("a", "b")}
    assert len(secrets) == 4
    assert SECRET not in secrets


@pytest.mark.parametrize(
    ("params", "expected"), [({}, True), ({"temperature": 0}, True), ({"temperature": 0.1}, False), ({"n": 2}, False)]
)
def test_randomness_is_not_cached(params: dict[str, Any], expected: bool) -> None:
    assert may_cache(RouteRequest(messages=(), params=params), nondeterministic=False) is expected
