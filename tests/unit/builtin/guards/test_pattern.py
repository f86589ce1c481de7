from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routekit.builtin.guards.pattern import PLUGIN, PatternGuard
from routekit.errors import ConfigError
from routekit.plugin import ALLOW, GuardVerdict
from routekit.types import RouteRequest, as_messages

CARD = "4111 1111 1111 1111"


def guard(*rules: dict[str, Any]) -> PatternGuard:
    return PatternGuard(rules=list(rules))


def asked(checker: PatternGuard, *messages: dict[str, Any]) -> GuardVerdict:
    return checker.check_request(RouteRequest(messages=as_messages(messages)))


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def test_redacts_everywhere_a_text_can_stand() -> None:
    messages = [
        {"role": "system", "content": "help a@b.io"},
        user([{"type": "text", "text": "I am a@b.io"}, {"type": "image_url", "image_url": {"url": "data:a@b.io"}}]),
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "a@b.io", "type": "function",
             "function": {"name": "mail", "arguments": '{"to": "a@b.io", "n": 1}'}}]},
        {"role": "tool", "tool_call_id": "a@b.io", "content": "sent to a@b.io"},
        {"role": "assistant", "content": "", "refusal": "not for a@b.io"},
    ]  # fmt: skip
    before = copy.deepcopy(messages)
    verdict = asked(guard({"preset": "email"}), *messages)
    assert (verdict.action, verdict.rule) == ("redact", "email")
    assert verdict.messages is not None
    new = list(verdict.messages)
    assert new[0]["content"] == "help [redacted:email]"
    assert new[1]["content"][0]["text"] == "I am [redacted:email]"
    assert new[1]["content"][1] == messages[1]["content"][1]
    arguments = new[2]["tool_calls"][0]["function"]["arguments"]
    assert json.loads(arguments) == {"to": "[redacted:email]", "n": 1}
    assert new[2]["tool_calls"][0]["id"] == new[3]["tool_call_id"] == "a@b.io"
    assert new[3]["content"] == "sent to [redacted:email]"
    assert new[4]["refusal"] == "not for [redacted:email]"
    assert messages == before, "the caller's messages were changed"


@pytest.mark.parametrize(
    "arguments",
    [
        r'{"to": "a\u0040b.io"}',
        '{"card": 4111111111111111, "keep": [1, true, null, "x"]}',
        '{"a@b.io": 1}',
        '{"a": "a@b.io", "a": "hidden by a second key"}',
        '["a@b.io"',
    ],
)
def test_arguments_stay_json_and_hide_nothing(arguments: str) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": arguments}}
    checker = guard({"preset": "email"}, {"preset": "credit-card"})
    verdict = asked(checker, {"role": "assistant", "content": None, "tool_calls": [call]})
    assert verdict.action == "redact"
    assert verdict.messages is not None
    written = verdict.messages[0]["tool_calls"][0]["function"]["arguments"]
    assert "a@b.io" not in written
    assert "4111" not in written
    assert "u0040" not in written
    if arguments.endswith("}"):
        assert isinstance(json.loads(written), dict)


def test_nothing_found_allows_and_makes_no_copy() -> None:
    assert asked(guard({"preset": "email"}), user("hello")) is ALLOW


def test_block_wins_and_names_the_rule_never_the_value() -> None:
    checker = guard(
        {"preset": "email"},
        {"name": "project-x", "regex": r"corp\.example", "action": "block"},
        {"preset": "credit-card", "action": "require-local"},
    )
    verdict = asked(checker, user(f"me@corp.example pays with {CARD}"))
    assert verdict == GuardVerdict(action="block", rule="project-x")
    assert "corp" not in repr(verdict)


def test_require_local_asks_for_the_tag() -> None:
    verdict = asked(guard({"preset": "iban", "action": "require-local"}), user("DE89 3704 0044 0532 0130 00"))
    assert verdict.action == "require"
    assert verdict.requirements.tags == {"local"}
    assert verdict.messages is None


def test_require_local_and_redact_together_carry_both() -> None:
    checker = guard({"preset": "email"}, {"preset": "credit-card", "action": "require-local"})
    verdict = asked(checker, user(f"a@b.io {CARD}"))
    assert (verdict.action, verdict.rule) == ("require", "email, credit-card")
    assert verdict.requirements.tags == {"local"}
    assert verdict.messages == (user(f"[redacted:email] {CARD}"),)


def test_where_says_which_side_is_looked_at() -> None:
    request = RouteRequest(messages=as_messages("a@b.io"))
    answer: Any = {"role": "assistant", "content": "a@b.io"}
    asks, answers = guard({"preset": "email", "where": "request"}), guard({"preset": "email", "where": "response"})
    assert not asks.checks_responses
    assert answers.checks_responses
    assert asks.check_request(request).action == "redact"
    assert asks.check_response(request, answer) is ALLOW
    assert answers.check_request(request) is ALLOW
    verdict = answers.check_response(request, answer)
    assert verdict.messages == ({"role": "assistant", "content": "[redacted:email]"},)
    local = guard({"preset": "email", "action": "require-local"})
    assert not local.checks_responses
    assert local.check_response(request, answer) is ALLOW


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({}, "either a preset"),
        ({"preset": "email", "regex": "x", "name": "n"}, "either a preset"),
        ({"regex": "x"}, "needs a name"),
        ({"name": "n", "regex": "("}, "cannot be read"),
        ({"name": "n", "regex": "x*"}, "matches an empty text"),
        ({"preset": "email", "action": "require-local", "where": "response"}, "about requests"),
        ({"preset": "mail"}, "preset"),
        ({"preset": "email", "acton": "block"}, "Did you mean 'action'"),
        ({"preset": "email", "name": "a b"}, "name"),
    ],
)
def test_a_rule_that_cannot_work_is_refused(rule: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        guard(rule)


def test_no_rules_are_refused() -> None:
    with pytest.raises(ConfigError, match="rules"):
        PLUGIN.options.checked({}, where="guards.pattern")


@given(st.text(max_size=40), st.sampled_from(["a@b.io", CARD, "536-90-4399", "10.0.0.1"]), st.text(max_size=40))
def test_what_was_redacted_is_gone_and_a_second_pass_finds_nothing(before: str, value: str, after: str) -> None:
    checker = guard(*({"preset": name} for name in ("email", "credit-card", "us-ssn", "ipv4")))
    verdict = asked(checker, user(f"{before} {value} {after}"))
    assert verdict.messages is not None
    assert f" {value} " not in f" {verdict.messages[0]['content']} "
    assert checker.check_request(RouteRequest(messages=tuple(verdict.messages))) is ALLOW


def shapes(text: str) -> list[RouteRequest]:
    """Requests with `text` in each place where a text can stand, media aside."""
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages: list[list[Any]] = [
        [{"role": "user", "content": text}],
        [{"role": "system", "content": text}],
        [{"role": "user", "content": [{"type": "text", "text": text}]}],
        [{"role": "user", "content": "x", "name": text}],
        [{"role": "assistant", "content": None, "refusal": text}],
        [{"role": "assistant", "content": None, "reasoning_content": text}],
        [{"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "c1", "content": text}],
        [{"role": "user", "content": [{"type": "file", "file": {"filename": text}}]}],
        [{"role": "user", "content": [{"type": "odd", "odd": {"url": text, "data": text, "file_data": text}}]}],
    ]
    plain: tuple[Any, ...] = ({"role": "user", "content": "x"},)
    tool = {"type": "function", "function": {"name": "f", "description": text}}
    return [
        *(RouteRequest(messages=tuple(each)) for each in messages),
        RouteRequest(messages=plain, tools=(tool,)),
        RouteRequest(messages=plain, params={"prediction": {"type": "content", "content": text}}),
        RouteRequest(messages=plain, params={"user": text}),
        RouteRequest(messages=plain, params={"metadata": {"about": [text]}}),
        RouteRequest(messages=plain, params={"response_format": {"type": "json_schema", "description": text}}),
    ]


@given(st.sampled_from(["", "data:", "data:image/png;base64,", "data:text/plain,", "https://x/"]), st.text(max_size=12))
def test_what_stands_before_a_value_never_hides_it(prefix: str, more: str) -> None:
    text = f"{prefix}{more} a@b.io"
    for request in shapes(text):
        assert guard({"preset": "email", "action": "block"}).check_request(request).action == "block"
        verdict = guard({"preset": "email"}).check_request(request)
        assert verdict.action == "redact"
        written = [verdict.messages, verdict.tools, verdict.params]
        assert "a@b.io" not in json.dumps(written, default=str)


def test_media_are_told_by_their_place() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAAa@b.io"}}
    sound = {"type": "input_audio", "input_audio": {"data": "a@b.io", "format": "wav"}}
    file = {"type": "file", "file": {"file_data": "data:application/pdf;base64,a@b.io"}}
    verdict = asked(guard({"preset": "email", "action": "block"}), user([picture, sound, file]))
    assert verdict.action == "allow"


def test_ids_are_read_and_not_changed() -> None:
    result = {"role": "tool", "tool_call_id": "a@b.io", "content": "x"}
    assert asked(guard({"preset": "email", "action": "block"}), result).action == "block"
    assert asked(guard({"preset": "email"}), result).action == "allow"
