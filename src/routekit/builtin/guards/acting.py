"""What the built-in detectors have in common: their options, placeholders, and the way from findings to a verdict."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from routekit.builtin.guards.memory import Memory
from routekit.builtin.guards.placeholders import Placeholders
from routekit.builtin.guards.reading import ARGUMENTS, Reading, same
from routekit.builtin.guards.session import AnswerSession
from routekit.builtin.guards.spans import Span, cut
from routekit.plugin import ALLOW, Finding, Guard, GuardVerdict, Options
from routekit.types import NO_REQUIREMENTS, Message, Requirements, RouteRequest

Detect = Callable[[str, str], Sequence[Span]]
"""From a text and the name of its field to what was found in it."""

Action = Literal["redact", "block", "route", "flag"]
Part = Literal["request", "response", "tools"]

_PLACES: dict[str, Part] = {
    "user": "request", "system": "request", "assistant": "request", "params": "request",
    "tool": "tools", "tools": "tools", "answer": "response",
}  # fmt: skip


class RouteOptions(Options):
    """Where a request may go: all of these must hold. `retention` is the longest permitted one."""

    tags: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    retention: str | None = None
    providers: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _something(self) -> RouteOptions:
        if not (self.tags or self.regions or self.retention or self.providers):
            raise ValueError("route says nothing: give tags, regions, retention or providers")
        return self

    @property
    def requirements(self) -> Requirements:
        return Requirements(
            tags=frozenset(self.tags), regions=frozenset(self.regions), retention=self.retention,
            allowed_providers=frozenset(self.providers),
        )  # fmt: skip


class ActingOptions(Options):
    """What happens where something is found.

    ``redact`` puts a placeholder in its place, ``block`` refuses, ``route`` lets only the deployments that `route`
    describes serve the request, ``flag`` notes it. `restore` puts the values back into the answer. `apply_to`
    says where is looked: the "request", the "response", "tools" (definitions, arguments and results).
    `allow` lists texts, or patterns that begin with "re:", that are never private.
    """

    action: Action = "redact"
    restore: bool = True
    apply_to: tuple[Part, ...] = ("request", "response", "tools")
    route: RouteOptions | None = None
    allow: tuple[str, ...] = ()
    min_score: float = Field(default=0.0, ge=0.0, le=1.0)

    @field_validator("allow")
    @classmethod
    def _readable(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        for value in values:
            if value.startswith("re:"):
                try:
                    re.compile(value[3:])
                except re.error as error:
                    raise ValueError(f"the pattern cannot be read: {error}") from None
        return values

    @model_validator(mode="after")
    def _whole(self) -> ActingOptions:
        if self.action == "route" and self.route is None:
            raise ValueError(
                'action = "route" needs `route`: where may such a request go? e.g. route = { tags = ["local"] }'
            )
        if self.route is not None and self.action != "route":
            raise ValueError(f'route is for action = "route"; this action is "{self.action}"')
        if not self.apply_to:
            raise ValueError('apply_to is empty: name "request", "response" or "tools"')
        return self


class ActingGuard(Guard):
    """Finds with `detect` and acts on it. Each text is looked at once: a conversation that grows costs its new part.

    Values are held by the session of one request, as long as it lasts, and nowhere else.
    """

    def __init__(self, options: ActingOptions, detect: Detect) -> None:
        self._options = options
        self._memory = Memory(detect)
        self._exact = frozenset(value for value in options.allow if not value.startswith("re:"))
        patterns = [value[3:] for value in options.allow if value.startswith("re:")]
        self._pattern = re.compile("|".join(f"(?:{pattern})" for pattern in patterns)) if patterns else None
        self.checks_responses = "response" in options.apply_to and options.action != "route"

    @property
    def buffers(self) -> bool:
        return self.checks_responses and self._options.action == "block"

    def spans(self, text: str, label: str = "") -> list[Span]:
        """What is found in a text, without what is allowed."""
        options = self._options
        found = []
        for span in self._memory.spans(text, "" if label == ARGUMENTS else label):
            value = text[span.start : span.end]
            allowed = value in self._exact or (self._pattern is not None and self._pattern.fullmatch(value) is not None)
            if not allowed and span.score >= options.min_score:
                found.append(span)
        return found

    def check_request(self, request: RouteRequest) -> GuardVerdict:
        redacts = self._options.action == "redact"
        table = Placeholders()
        visitor = _Visitor(self, table, redacts)
        reading = Reading(visitor)
        if redacts:
            table.taken(_texts_with_brackets(request))
        messages = reading.messages(request.messages)
        tools, params = request.tools, request.params
        if "tools" in self._options.apply_to:
            tools = reading.tools(tools)
        if "request" in self._options.apply_to:
            params = reading.params(params)
        session = self._session(table) if redacts else None
        if not visitor.found:
            return ALLOW if session is None or not self.checks_responses else GuardVerdict(session=session)
        findings, rule = visitor.findings(), visitor.rule()
        if self._options.action == "block":
            return GuardVerdict(action="block", rule=rule, findings=findings)
        if self._options.action == "flag":
            return GuardVerdict(rule=rule, findings=findings)
        if self._options.action == "route":
            wanted = self._options.route.requirements if self._options.route is not None else NO_REQUIREMENTS
            return GuardVerdict(action="require", rule=rule, findings=findings, requirements=wanted)
        if not visitor.changed:
            return GuardVerdict(rule=rule, findings=findings, session=session)
        return GuardVerdict(
            action="redact", rule=rule, findings=findings, session=session, messages=messages,
            tools=None if same(tools, request.tools) else tools,
            params=None if params is request.params else params,
        )  # fmt: skip

    def _session(self, table: Placeholders) -> AnswerSession | None:
        restore = self._options.restore
        if not (restore and table) and not self.checks_responses:
            return None
        return AnswerSession(table, restore=restore, spans=self.spans if self.checks_responses else None)

    def check_response(self, request: RouteRequest, message: Message) -> GuardVerdict:
        if not self.checks_responses:
            return ALLOW
        redacts = self._options.action == "redact"
        visitor = _Visitor(self, Placeholders(), redacts)
        changed = Reading(visitor).messages((message,), where="answer")
        if not visitor.found:
            return ALLOW
        findings, rule = visitor.findings(), visitor.rule()
        if self._options.action == "block":
            return GuardVerdict(action="block", rule=rule, findings=findings)
        if not redacts or not visitor.changed:
            return GuardVerdict(rule=rule, findings=findings)
        return GuardVerdict(action="redact", rule=rule, findings=findings, messages=changed)

    def looks_at(self, where: str) -> bool:
        return _PLACES.get(where, "request") in self._options.apply_to


class _Visitor:
    """Reads the texts of one call; `found` has the values by kind and place, for as long as it is read."""

    def __init__(self, guard: ActingGuard, table: Placeholders, redacts: bool) -> None:
        self._guard, self._table, self._redacts = guard, table, redacts
        self.found: dict[tuple[str, str], dict[str, float]] = {}
        self.changed = False

    def text(self, text: str, where: str, *, label: str = "", is_id: bool = False) -> str:
        if not text or not self._guard.looks_at(where):
            return text
        spans = self._guard.spans(text, label)
        if not spans:
            return text
        for span in spans:
            values = self.found.setdefault((span.kind, where), {})
            value = text[span.start : span.end]
            values[value] = max(values.get(value, 0.0), span.score)
        if not self._redacts or is_id:
            return text
        self.changed = True
        return cut(text, spans, [self._table.name(span.kind, text[span.start : span.end]) for span in spans])

    def findings(self) -> tuple[Finding, ...]:
        return tuple(
            Finding(kind, where, len(values), max(values.values())) for (kind, where), values in self.found.items()
        )

    def rule(self) -> str:
        """The kinds that were found, with how many values of each."""
        counts: dict[str, set[str]] = {}
        for (kind, _), values in self.found.items():
            counts.setdefault(kind, set()).update(values)
        return ", ".join(f"{kind} x{len(values)}" if len(values) > 1 else kind for kind, values in counts.items())


def _texts_with_brackets(request: RouteRequest) -> set[str]:
    """What looks like a placeholder in a call already: such a name is not given to a value."""
    found: set[str] = set()

    class Brackets:
        def text(self, text: str, where: str, *, label: str = "", is_id: bool = False) -> str:
            if "[" in text:
                found.update(match.group() for match in Placeholders.SHAPE.finditer(text))
            return text

    reading = Reading(Brackets())
    reading.messages(request.messages)
    reading.tools(request.tools)
    reading.params(request.params)
    return found


def known_only(kind: str, known: Sequence[str]) -> Callable[[Any], Any]:
    """A check of option values against those that mean something, which suggests the nearest one."""
    import difflib

    def checked(values: Any) -> Any:
        for value in values or ():
            if value not in known:
                near = difflib.get_close_matches(str(value), known, n=1, cutoff=0.4)
                near = near or difflib.get_close_matches(str(value).upper(), known, n=1, cutoff=0.4)
                hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
                raise ValueError(f"there is no {kind} {value!r}; {hint}")
        return values

    return checked
