"""The contract of a compressor, as tests.

Example::

    import pytest
    from routekit.testing.contracts import CompressorContract
    from routekit_mine import Mine

    class TestMine(CompressorContract):
        @pytest.fixture
        def compressor(self):
            return Mine()
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import pytest

from routekit.plugin import Compression, Compressor
from routekit.testing.contracts.suite import ContractSuite
from routekit.types import RouteRequest, count_tokens

TARGETS = (None, 1, 50, 400, 100_000)
"""Input tokens that each request is compressed to, in turn."""


class CompressorContract(ContractSuite):
    """Subclass it and give the `compressor` fixture; override `requests` to add shapes of your own."""

    @pytest.fixture
    def compressor(self) -> Compressor:
        """The compressor under test."""
        raise NotImplementedError(f"{type(self).__name__} needs a fixture `compressor` that returns the compressor")

    @pytest.fixture
    def requests(self) -> Sequence[RouteRequest]:
        """The requests that it is asked to compress."""
        return sample_conversations()

    def test_it_returns_a_compression(self, compressor: Compressor, requests: Sequence[RouteRequest]) -> None:
        assert isinstance(compressor, Compressor)
        for request, _, compression in _compressions(compressor, requests):
            assert isinstance(compression, Compression)
            if compression.request != request:
                assert compression.removed, "say in a few words what is gone"
                assert compression.lossless or not compressor.lossless, "a lossless compressor loses nothing"

    def test_it_is_pure(self, compressor: Compressor, requests: Sequence[RouteRequest]) -> None:
        for request in requests:
            before = copy.deepcopy(request.messages)
            for target in TARGETS:
                first, second = compressor.compress(request, target), compressor.compress(request, target)
                assert first == second, "the same request gave two results"
            assert request.messages == before, "the caller's messages were changed"

    def test_it_never_makes_a_request_larger(self, compressor: Compressor, requests: Sequence[RouteRequest]) -> None:
        for request, _, compression in _compressions(compressor, requests):
            assert _tokens(compression.request) <= _tokens(request)

    def test_only_messages_change(self, compressor: Compressor, requests: Sequence[RouteRequest]) -> None:
        for request, _, compression in _compressions(compressor, requests):
            for name in ("params", "strategy", "model", "group", "requirements", "step", "session", "scopes", "stream"):
                assert getattr(compression.request, name) == getattr(request, name), name

    def test_a_tool_call_keeps_its_results(self, compressor: Compressor, requests: Sequence[RouteRequest]) -> None:
        for _, target, compression in _compressions(compressor, requests):
            messages = compression.request.messages
            calls = [call.get("id") for message in messages for call in message.get("tool_calls") or ()]
            results = [message.get("tool_call_id") for message in messages if message.get("role") == "tool"]
            assert sorted(map(str, calls)) == sorted(map(str, results)), f"torn apart at target {target}"

    def test_system_messages_stay(self, compressor: Compressor, requests: Sequence[RouteRequest]) -> None:
        for request, _, compression in _compressions(compressor, requests):
            assert _with_role(compression.request, "system", "developer") == _with_role(request, "system", "developer")

    def test_the_newest_user_turn_stays(self, compressor: Compressor, requests: Sequence[RouteRequest]) -> None:
        for request, _, compression in _compressions(compressor, requests):
            before, after = _newest_turn(request), _newest_turn(compression.request)
            assert [message.get("role") for message in after] == [message.get("role") for message in before]
            assert after[0].keys() == before[0].keys()
            assert bool(after[0].get("content")) == bool(before[0].get("content"))

    def test_a_conversation_begins_with_a_user(self, compressor: Compressor, requests: Sequence[RouteRequest]) -> None:
        for request, _, compression in _compressions(compressor, requests):
            if _first_role(request) == "user":
                assert _first_role(compression.request) == "user", "providers refuse histories that begin elsewhere"

    def test_a_second_pass_finds_nothing(self, compressor: Compressor, requests: Sequence[RouteRequest]) -> None:
        for _, target, compression in _compressions(compressor, requests):
            assert compressor.compress(compression.request, target).request == compression.request

    def test_without_a_target_nothing_is_lost(self, compressor: Compressor, requests: Sequence[RouteRequest]) -> None:
        for request in requests:
            compression = compressor.compress(request, None)
            assert compression.lossless or compression.request == request, "there was no reason to lose anything"


def sample_conversations() -> list[RouteRequest]:
    """Conversations of the usual shapes: short and long, with tools, parts, JSON, systems in the middle."""

    def call(*ids: str) -> dict[str, Any]:
        made = [{"id": name, "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}} for name in ids]
        return {"role": "assistant", "content": None, "tool_calls": made}

    def result(name: str, content: str = '{\n  "rows": [1, 2.50, 3],\n  "note": "two  spaces"\n}') -> dict[str, Any]:
        return {"role": "tool", "tool_call_id": name, "content": content}

    def user(content: Any) -> dict[str, Any]:
        return {"role": "user", "content": content}

    system = {"role": "system", "content": "Be brief."}
    answer = {"role": "assistant", "content": "word " * 80}
    long = "word " * 300
    picture = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    conversations: list[list[dict[str, Any]]] = [
        [user("hello")],
        [system, user(long)],
        [system, user(long), answer, user(long), answer, user("and now?")],
        [user(long), call("a"), result("a"), answer, user("next"), call("b", "c"), result("b"), result("c")],
        [user(long), call("a"), user("by the way"), result("a"), answer, user("go on")],
        [user(long), answer, {"role": "developer", "content": "In German."}, user(long), answer, user("{ }")],
        [user([{"type": "text", "text": '[ 1,\n 2 ]'}, picture]), answer, user([{"type": "text", "text": long}])],
        [system, *[message for _ in range(30) for message in (user(long), answer)], user("the end")],
        [user(long), user(long), answer, user('```json\n{ "a": 1 }\n```')],
    ]  # fmt: skip
    return [RouteRequest(messages=tuple(messages), session="s") for messages in conversations]  # type: ignore[arg-type]


def _compressions(
    compressor: Compressor, requests: Sequence[RouteRequest]
) -> list[tuple[RouteRequest, int | None, Compression]]:
    return [(request, target, compressor.compress(request, target)) for request in requests for target in TARGETS]


def _tokens(request: RouteRequest) -> tuple[int, int]:
    return count_tokens(request.messages, request.tools)


def _with_role(request: RouteRequest, *roles: str) -> list[Any]:
    return [message for message in request.messages if message.get("role") in roles]


def _first_role(request: RouteRequest) -> str | None:
    rest = [message.get("role") for message in request.messages if message.get("role") not in ("system", "developer")]
    return rest[0] if rest else None


def _newest_turn(request: RouteRequest) -> list[Any]:
    newest = max(place for place, message in enumerate(request.messages) if message.get("role") == "user")
    return list(request.messages[newest:])
