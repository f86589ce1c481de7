"""The contract of a guard, as tests.

Example::

    import pytest
    from routekit.testing.contracts import GuardContract
    from routekit_mine import NoPasswords

    class TestNoPasswords(GuardContract):
        @pytest.fixture
        def guard(self):
            return NoPasswords()

        @pytest.fixture
        def forbidden(self):
            return "my password is hunter2"
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from routekit.plugin import Guard, GuardVerdict
from routekit.testing.contracts.suite import ContractSuite
from routekit.types import NO_REQUIREMENTS, Message, RouteRequest


class GuardContract(ContractSuite):
    """Subclass it and give the `guard` fixture; and `forbidden`, a text that it must not allow."""

    @pytest.fixture
    def guard(self) -> Guard:
        """The guard under test."""
        raise NotImplementedError(f"{type(self).__name__} needs a fixture `guard` that returns the guard")

    @pytest.fixture
    def forbidden(self) -> str | None:
        """A text that the guard must not let pass as it is; None where no text is."""
        return None

    @pytest.fixture
    def requests(self, forbidden: str | None) -> Sequence[RouteRequest]:
        """The requests that it looks at."""
        return [RouteRequest(messages=tuple(messages)) for messages in sample_messages(forbidden or "hello")]

    def test_it_gives_verdicts_that_are_complete(self, guard: Guard, requests: Sequence[RouteRequest]) -> None:
        assert isinstance(guard, Guard)
        for request in requests:
            _check(guard.check_request(request), len(request.messages))
            for message in request.messages:
                verdict = guard.check_response(request, message)
                _check(verdict, 1)
                assert guard.checks_responses or verdict.action == "allow", "set `checks_responses`: it is not asked"

    def test_it_changes_nothing_that_it_is_given(self, guard: Guard, requests: Sequence[RouteRequest]) -> None:
        for request in requests:
            before = copy.deepcopy(request.messages)
            guard.check_request(request)
            for message in request.messages:
                guard.check_response(request, message)
            assert request.messages == before, "put the changed messages into the verdict"

    def test_the_same_request_gets_the_same_verdict(self, guard: Guard, requests: Sequence[RouteRequest]) -> None:
        for request in requests:
            assert guard.check_request(request) == guard.check_request(request)

    def test_a_forbidden_text_does_not_pass(self, guard: Guard, forbidden: str | None) -> None:
        if forbidden is None:
            pytest.skip("give a fixture `forbidden` to have this checked")
        messages: tuple[Message, ...] = ({"role": "user", "content": forbidden},)
        request = RouteRequest(messages=messages)
        verdicts = [guard.check_request(request)]
        if guard.checks_responses:
            verdicts.append(guard.check_response(request, {"role": "assistant", "content": forbidden}))
        assert any(verdict.action != "allow" for verdict in verdicts)
        for verdict in verdicts:
            assert forbidden not in verdict.rule, "a verdict names the rule, never the value"
            if verdict.action == "redact":
                assert verdict.messages is not None
                assert forbidden not in str(verdict.messages[0].get("content"))

    def test_what_was_redacted_is_clean(self, guard: Guard, requests: Sequence[RouteRequest]) -> None:
        for request in requests:
            verdict = guard.check_request(request)
            if verdict.action == "redact" and verdict.messages is not None:
                again = guard.check_request(RouteRequest(messages=tuple(verdict.messages)))
                assert again.action == "allow", "a redacted request must not be redacted again"

    def test_threads_may_use_it_at_once(self, guard: Guard, requests: Sequence[RouteRequest]) -> None:
        alone = [guard.check_request(request) for request in requests]
        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(guard.check_request, list(requests) * 4)) == alone * 4


def sample_messages(text: str) -> list[list[Any]]:
    """Requests of the usual shapes, with `text` in every place where text can stand."""
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    return [
        [{"role": "user", "content": "hello"}],
        [{"role": "user", "content": text}],
        [{"role": "system", "content": text}, {"role": "user", "content": ""}],
        [{"role": "user", "content": [{"type": "text", "text": text}, picture]}],
        [
            {"role": "user", "content": "call it", "name": "someone"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": text},
        ],
        [{"role": "user", "content": None}],
        [{"role": "assistant", "content": text, "refusal": None, "extra": {"nested": [1, None, True]}}],
    ]


def _check(verdict: GuardVerdict, messages: int) -> None:
    assert isinstance(verdict, GuardVerdict)
    if verdict.action == "redact":
        assert verdict.messages is not None, "`redact` brings the changed messages"
        assert len(verdict.messages) == messages, "as many as there were"
    if verdict.action == "require":
        assert verdict.requirements != NO_REQUIREMENTS, "`require` brings requirements"
    if verdict.action != "allow":
        assert verdict.rule, "name the rule"
