"""What providers say about their limits steers the choice."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.routers import AsyncFace, SyncFace, scripted_router

from routekit.engine.health.rate_limit_headers import RESET_CAP_S, Headroom, RateLimits, parse_rate_limits
from routekit.plugin import Provider
from routekit.testing import ScriptedProvider, VirtualClock
from routekit.types import Answer, Chunk

Face = SyncFace | AsyncFace
NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, RateLimits()),
        (
            {"x-ratelimit-remaining-requests": "3", "x-ratelimit-reset-requests": "6m0s"},
            RateLimits(3, None, 360.0, None),
        ),
        (
            {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "250ms"},
            RateLimits(None, 0, None, 0.25),
        ),
        (
            {
                "anthropic-ratelimit-requests-remaining": "1",
                "anthropic-ratelimit-requests-reset": dt.datetime.fromtimestamp(NOW + 30, dt.UTC).isoformat(),
            },
            RateLimits(1, None, 30.0, None),
        ),
        ({"x-ratelimit-remaining-requests": "-1", "x-ratelimit-reset-requests": "soon"}, RateLimits()),
        ({"x-ratelimit-reset-requests": "99999h"}, RateLimits(None, None, RESET_CAP_S, None)),
    ],
)  # fmt: skip
def test_both_forms_are_read(headers: dict[str, str], expected: RateLimits) -> None:
    assert parse_rate_limits(headers, NOW) == pytest.approx(expected)


@given(st.dictionaries(st.sampled_from(
    ["x-ratelimit-remaining-requests", "x-ratelimit-reset-requests", "x-ratelimit-remaining-tokens",
     "anthropic-ratelimit-tokens-reset"]), st.text()))  # fmt: skip
def test_odd_headers_are_passed_over(headers: dict[str, str]) -> None:
    limits = parse_rate_limits(headers, NOW)
    for span in (limits.reset_requests_s, limits.reset_tokens_s):
        assert span is None or 0 <= span <= RESET_CAP_S


def test_nothing_left_is_remembered_until_the_reset() -> None:
    clock = VirtualClock()
    headroom = Headroom(clock)
    headroom.note("a", {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "20s"})
    assert "0 requests left" in str(headroom.why_not("a"))
    assert headroom.why_not("b") is None
    clock.advance(20)
    assert headroom.why_not("a") is None


def test_too_few_tokens_are_too_few() -> None:
    headroom = Headroom(VirtualClock())
    headroom.note("a", {"x-ratelimit-remaining-tokens": "100", "x-ratelimit-reset-tokens": "20s"})
    assert headroom.why_not("a", 100) is None
    assert "100 tokens left" in str(headroom.why_not("a", 101))


def test_a_count_without_a_reset_is_not_held_against_it() -> None:
    headroom = Headroom(VirtualClock())
    headroom.note("a", {"x-ratelimit-remaining-requests": "0"})
    assert headroom.why_not("a") is None


LAST = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "30s"}


class Limited(Provider):
    """Says with every answer that it was the last one for a while."""

    def __init__(self) -> None:
        self.calls = 0

    def complete(self, call) -> Answer:
        self.calls += 1
        return Answer(message={"role": "assistant", "content": "a"}, finish_reason="stop", headers=LAST)

    def stream(self, call):
        self.calls += 1
        yield Chunk({"content": "a"}, headers=LAST)
        yield Chunk({}, "stop")


@pytest.mark.parametrize("stream", [False, True])
def test_the_router_goes_elsewhere_while_the_provider_has_nothing_left(face: Face, stream: bool) -> None:
    first = Limited()
    router = scripted_router({"a": first, "b": ScriptedProvider("b")})

    def ask() -> str:
        return face.stream(router, "hi")[1].text if stream else face.complete(router, "hi").text

    assert [ask(), ask(), ask()] == ["a", "b", "b"]
    router.clock.advance(31)
    assert ask() == "a"
    assert first.calls == 2


def test_with_nobody_else_it_is_tried_all_the_same(face: Face) -> None:
    router = scripted_router({"a": Limited()})
    assert [face.complete(router, "hi").text for _ in range(3)] == ["a", "a", "a"]
