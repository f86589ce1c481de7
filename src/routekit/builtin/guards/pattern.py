"""Rules over what is written: presets for private data, or regular expressions of one's own."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, cast

from pydantic import Field, model_validator

from routekit.builtin.guards.presets import PRESETS, Finder, matches_of
from routekit.plugin import ALLOW, Guard, GuardPlugin, GuardVerdict, Options, PluginContext
from routekit.types import NO_REQUIREMENTS, Message, Requirements, RouteRequest
from routekit.types.empty import EMPTY

Action = Literal["redact", "block", "require-local"]
Preset = Literal["email", "credit-card", "iban", "us-ssn", "api-key", "ipv4"]

_LOCAL = Requirements(tags=frozenset({"local"}))
_NOT_TEXT = frozenset({"role", "type"})
_IDS = frozenset({"id", "tool_call_id"})
"""Join calls with their results: read, but not redacted, because two of them could then be one."""

_MEDIA = frozenset({("image_url", "url"), ("input_audio", "data"), ("file", "file_data")})
"""Where a picture, sound or file stands, by the field around it and its own: told by place, never by its text."""

_SETTINGS = frozenset(
    {
        "modalities", "parallel_tool_calls", "reasoning_effort", "service_tier", "stream_options", "tool_choice",
        "verbosity",
    }
)  # fmt: skip
"""Parameters with words of the protocol. Every other one may carry what somebody wrote."""


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
    reading = _Reading(rules)
    changed = tuple(cast("Message", reading.value(message)) for message in messages)
    new_tools = tuple(reading.value(tool) for tool in tools)
    new_params = {key: value if key in _SETTINGS else reading.value(value) for key, value in params.items()}

    def labels(*actions: Action) -> str:
        return ", ".join(rule.label for rule in rules if rule.action in actions and rule in reading.matched)

    if blocked := labels("block"):
        return GuardVerdict(action="block", rule=blocked)
    redacts, local = bool(labels("redact")), labels("require-local", "redact")
    if not redacts and not labels("require-local"):
        return ALLOW
    return GuardVerdict(
        action="require" if labels("require-local") else "redact",
        rule=local if labels("require-local") else labels("redact"),
        messages=changed if redacts else None,
        tools=new_tools if redacts and not _same(new_tools, tools) else None,
        params=new_params if redacts and not _same(new_params.values(), params.values()) else None,
        requirements=_LOCAL if labels("require-local") else NO_REQUIREMENTS,
    )


class _Reading:
    """One pass over messages: what matched, and copies of what had to change."""

    def __init__(self, rules: Sequence[_Rule]) -> None:
        self._rules = rules
        self.matched: set[_Rule] = set()

    def value(self, value: Any) -> Any:
        """The value with all texts in it redacted; the same object where nothing was."""
        return self._value("", value)

    def _value(self, around: str, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            fields = {key: self._field(around, key, item) for key, item in value.items()}
            return value if all(fields[key] is item for key, item in value.items()) else fields
        if isinstance(value, (list, tuple)):
            items = [self._value(around, item) for item in value]
            return value if _same(items, value) else items
        return value

    def text(self, text: str, *, is_id: bool = False) -> str:
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

    def _field(self, around: str, key: Any, value: Any) -> Any:
        if not isinstance(value, str):
            return self._value(str(key), value)
        if key in _NOT_TEXT or (around, key) in _MEDIA:
            return value
        return self._arguments(value) if key == "arguments" else self.text(value, is_id=key in _IDS)

    def _arguments(self, text: str) -> str:
        """Arguments are JSON inside a text: they stay JSON, and escapes or numbers hide nothing."""
        plain = self.text(text)
        try:
            before = json.loads(text)
            after = self._json(before)
        except (ValueError, RecursionError):
            return plain
        if plain == text and after is before:
            return text
        return self.text(json.dumps(after, ensure_ascii=False))

    def _json(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            written = str(value)
            shown = self.text(written)
            return value if shown == written else shown
        if isinstance(value, list):
            items = [self._json(item) for item in value]
            return value if _same(items, value) else items
        if isinstance(value, dict):
            fields = {self.text(key): self._json(item) for key, item in value.items()}
            unchanged = list(fields) == list(value) and _same(fields.values(), value.values())
            return value if unchanged else fields
        return value


def _same(new: Iterable[Any], old: Iterable[Any]) -> bool:
    return all(a is b for a, b in zip(new, old, strict=True))


def _make(options: PatternOptions, context: PluginContext) -> PatternGuard:
    return PatternGuard(**options.model_dump())


PLUGIN = GuardPlugin(
    name="pattern",
    factory=_make,
    options=PatternOptions,
    summary="Redacts, blocks or keeps local what matches a preset (email, credit-card, ...) or a regex.",
)
