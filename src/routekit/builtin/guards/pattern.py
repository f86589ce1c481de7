"""Rules over what is written: presets for private data, or regular expressions of one's own."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field, model_validator

from routekit.builtin.guards.presets import PRESETS, Finder, matches_of
from routekit.builtin.guards.reading import Reading, same
from routekit.plugin import ALLOW, Guard, GuardPlugin, GuardVerdict, Options, PluginContext
from routekit.types import NO_REQUIREMENTS, Message, Requirements, RouteRequest
from routekit.types.empty import EMPTY

Action = Literal["redact", "block", "require-local"]
Preset = Literal["email", "credit-card", "iban", "us-ssn", "api-key", "ipv4"]

_LOCAL = Requirements(tags=frozenset({"local"}))


class PatternRule(Options):
    """One rule: a `preset` or a `regex`, and what happens where it matches.

    ``redact`` puts "[redacted:<name>]" in its place, ``block`` refuses, ``require-local`` lets only
    deployments with the tag "local" serve the request. `name` defaults to the preset's.
    """

    name: str = Field(default="", pattern=r"^[A-Za-z0-9_.-]*$")
    preset: Preset | None = None
    regex: str | None = None
    action: Action = "redact"
    where: Literal["request", "response", "both"] = "both"

    @model_validator(mode="after")
    def _whole(self) -> PatternRule:
        if (self.preset is None) == (self.regex is None):
            raise ValueError(f"a rule has either a preset ({', '.join(PRESETS)}) or a regex")
        if self.regex is not None:
            if not self.name:
                raise ValueError("a rule with a regex needs a name: verdicts show it in place of the value")
            try:
                empty = re.compile(self.regex).search("")
            except re.error as error:
                raise ValueError(f"the regex of rule {self.name!r} cannot be read: {error}") from None
            if empty:
                raise ValueError(f"the regex of rule {self.name!r} matches an empty text, so it matches everywhere")
        if self.action == "require-local" and self.where == "response":
            raise ValueError("require-local is about requests: a response has been computed already")
        return self

    @property
    def label(self) -> str:
        return self.name or str(self.preset)


class PatternOptions(Options):
    rules: tuple[PatternRule, ...] = Field(min_length=1)


class PatternGuard(Guard):
    """Looks at every text that would be sent: messages with all of their parts, tool call arguments and names, tools,
    parameters; and at every text of an answer.

    Several rules may match: ``block`` wins. Where one rule redacts and another one requires local
    deployments, the verdict is ``require`` and carries the redacted messages, too.

    >>> guard = PatternGuard(rules=[{"preset": "email"}])
    >>> guard.check_request(RouteRequest(messages=({"role": "user", "content": "I am a@b.io"},))).messages
    ({'role': 'user', 'content': 'I am [redacted:email]'},)
    """

    def __init__(self, **options: Any) -> None:
        self.options = PatternOptions.checked(options, where="pattern")
        self._request = [_Rule(rule) for rule in self.options.rules if rule.where != "response"]
        self._response = [
            _Rule(rule) for rule in self.options.rules if rule.where != "request" and rule.action != "require-local"
        ]
        self.checks_responses = bool(self._response)

    def check_request(self, request: RouteRequest) -> GuardVerdict:
        return _verdict(self._request, request.messages, request.tools, request.params)

    def check_response(self, request: RouteRequest, message: Message) -> GuardVerdict:
        return _verdict(self._response, (message,))


class _Rule:
    """A rule that is ready to be used."""

    __slots__ = ("action", "find", "label", "placeholder")

    def __init__(self, rule: PatternRule) -> None:
        self.label, self.action = rule.label, rule.action
        self.placeholder = f"[redacted:{rule.label}]"
        self.find: Finder = PRESETS[rule.preset] if rule.preset is not None else matches_of(rule.regex or "")


def _verdict(
    rules: Sequence[_Rule],
    messages: Sequence[Message],
    tools: Sequence[Mapping[str, Any]] = (),
    params: Mapping[str, Any] = EMPTY,
) -> GuardVerdict:
    if not rules:
        return ALLOW
    redactor = _Redactor(rules)
    reading = Reading(redactor)
    changed = reading.messages(messages)
    new_tools = reading.tools(tools)
    new_params = reading.params(params)

    def labels(*actions: Action) -> str:
        return ", ".join(rule.label for rule in rules if rule.action in actions and rule in redactor.matched)

    if blocked := labels("block"):
        return GuardVerdict(action="block", rule=blocked)
    redacts, local = bool(labels("redact")), labels("require-local", "redact")
    if not redacts and not labels("require-local"):
        return ALLOW
    return GuardVerdict(
        action="require" if labels("require-local") else "redact",
        rule=local if labels("require-local") else labels("redact"),
        messages=changed if redacts else None,
        tools=new_tools if redacts and not same(new_tools, tools) else None,
        params=new_params if redacts and new_params is not params else None,
        requirements=_LOCAL if labels("require-local") else NO_REQUIREMENTS,
    )


class _Redactor:
    """What matched, and what stays of a text."""

    def __init__(self, rules: Sequence[_Rule]) -> None:
        self._rules = rules
        self.matched: set[_Rule] = set()

    def text(self, text: str, where: str, *, label: str = "", is_id: bool = False) -> str:
        for rule in self._rules:
            # What blocks must not depend on what another rule has redacted.
            if rule.action != "redact" and next(rule.find(text), None) is not None:
                self.matched.add(rule)
        for rule in self._rules:
            if rule.action == "redact" and not is_id and (spans := list(rule.find(text))):
                self.matched.add(rule)
                for start, end in reversed(spans):
                    text = text[:start] + rule.placeholder + text[end:]
        return text


def _make(options: PatternOptions, context: PluginContext) -> PatternGuard:
    return PatternGuard(**options.model_dump())


PLUGIN = GuardPlugin(
    name="pattern",
    factory=_make,
    options=PatternOptions,
    summary="Redacts, blocks or keeps local what matches a preset (email, credit-card, ...) or a regex.",
)
