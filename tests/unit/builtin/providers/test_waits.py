"""Waits that stand in bodies."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routekit.builtin.providers.errors import classify, error_inside
from routekit.builtin.providers.waits import wait_in_body, wait_in_text


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Please retry in 45.837906927s.", 45.837907),
        ("Rate limit reached for m. Please try again in 6ms. Visit us.", 0.006),
        ("Please try again in 1m30.5s.", 90.5),
        ("You can retry your request after 7h13m55.2s", 26035.2),
        ("Please retry after 58 seconds", 58),
        ("Try again in 2 minutes", 120),
        ("Please wait 1 hour, 2 minutes and more", 3720),
        ("5s ago", None),
        ("try again in 5 monkeys", None),
        ("try again later", None),
    ],
)
def test_in_sentences(text: str, seconds: float | None) -> None:
    assert wait_in_body({"error": {"message": text}}, text) == wait_in_text(text) == seconds


@pytest.mark.parametrize(
    ("body", "seconds"),
    [
        ([{"error": {"details": [{"@type": "RetryInfo", "retryDelay": "45.8s"}]}}], 45.8),
        ({"error": {"details": [{"retryDelay": {"seconds": "3", "nanos": 500_000_000}}]}}, 3.5),
        ({"error": {"metadata": {"headers": {"Retry-After": "12"}}}}, 12),
        ({"retry_after_ms": 1500}, 1.5),
        ({"retry_after": True}, None),
        ({"retry_after": "soon"}, None),
        ({"retry_after": -1}, None),
        ({"retry_after": float("inf")}, None),
        ({}, None),
        (None, None),
    ],
)
def test_in_fields(body: Any, seconds: float | None) -> None:
    assert wait_in_body(body) == seconds


def test_headers_come_first_and_only_refusals_for_now_have_one() -> None:
    def waits(status: int, headers: dict[str, str], message: str) -> float | None:
        body = json.dumps({"error": {"message": message}}).encode()
        return classify(status, headers, body, deployment="d", redact=str).retry_after_s

    assert waits(429, {"retry-after": "2"}, "try again in 9s") == 2
    assert waits(429, {}, "try again in 9s") == waits(503, {}, "try again in 9s") == 9
    assert waits(400, {}, "try again in 9s") is None
    inside = error_inside({"error": {"code": 429, "message": "try again in 9s"}}, deployment="d", redact=str)
    assert inside.retry_after_s == 9


@given(
    st.recursive(st.none() | st.floats() | st.text(), lambda v: st.lists(v) | st.dictionaries(st.text(), v)), st.text()
)
def test_any_body_gives_a_number_or_none(body: Any, text: str) -> None:
    wait = wait_in_body(body, text)
    assert wait is None or wait >= 0
