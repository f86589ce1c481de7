"""Pure: answers that came with a 200 and are no answers, told apart and named.

What is refused here is wrong for certain. Doubtful things pass: text in a code fence is looked at
without the fence, and an answer that its limit on tokens cut off says so itself by its finish reason.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from routekit.engine.history.assemble import is_empty
from routekit.errors import (
    ContentFilterError,
    InvalidInputError,
    InvalidResponseError,
    ProviderError,
    ProviderUnavailableError,
)
from routekit.plugin.finishreason import ERROR
from routekit.plugin.schema import parsed, problem
from routekit.types import Answer, RouteRequest, Usage, follows_tool_results
from routekit.types.suggest import suggestion

Check = Callable[[Answer], "bool | str | None"]
"""A user's own: true or a reason where the answer is none, else False, "" or None."""

KINDS = {
    "empty": "neither text nor a tool call",
    "tool_json": "a tool call whose arguments are no JSON object",
    "tool_schema": "a call of a tool that was not offered, or with arguments that its schema does not allow",
    "schema": "text that is not what response_format asks for",
    "refusal": "the model declines, in the message's field for it",
    "content_filter": "the provider's filter stopped the answer",
    "truncated": "the limit on tokens cut the answer off",
}
DEFAULT = frozenset({"empty", "tool_json", "schema"})

CHECKED_CHARACTERS = 1_000_000
"""Larger texts are not parsed to be checked."""

_FENCE = re.compile(r"\A\s*```[a-zA-Z]*[ \t]*\n(.*)\n\s*```\s*\Z", re.DOTALL)


class AnswerPolicy:
    """Which kinds of answers count as failures, so that somebody else is asked. `checks` are users' own.

    Raises:
        InvalidInputError: a kind that nobody knows, or a check that cannot be called.
    """

    __slots__ = ("checks", "fall_back_on")

    def __init__(self, fall_back_on: Iterable[str] = DEFAULT, checks: Iterable[Check] = ()) -> None:
        self.fall_back_on = frozenset(fall_back_on)
        for kind in sorted(self.fall_back_on - KINDS.keys()):
            hint = suggestion(kind, KINDS)
            raise InvalidInputError(f"fall_back_on: {kind!r} is no kind of answer; {hint}")
        self.checks = tuple(checks)
        for check in self.checks:
            if not callable(check):
                raise InvalidInputError(f"answer_checks: {check!r} cannot be called; give functions of an Answer")


def fault_of(
    request: RouteRequest, answer: Answer, usage: Usage | None, policy: AnswerPolicy, notes: list[str] | None = None
) -> ProviderError | None:
    """The failure that this answer is, or None for a good one. Its text repeats nothing of the answer.

    A check that raises has no say, as everything that only improves; `notes` gets a line about it.
    """
    error = _fault(request, answer, policy, notes)
    if error is not None:
        error.usage = usage
    return error


def _fault(
    request: RouteRequest, answer: Answer, policy: AnswerPolicy, notes: list[str] | None
) -> ProviderError | None:
    wanted, message, reason = policy.fall_back_on, answer.message, answer.finish_reason
    if reason == ERROR:
        return ProviderUnavailableError("the provider gave up in the middle of its answer (finish reason 'error')")
    if reason == "content_filter" and ("content_filter" in wanted or is_empty(message)):
        filtered = ContentFilterError("the provider's content filter stopped the answer")
        filtered.fall_back = "content_filter" in wanted
        return filtered
    if "empty" in wanted and is_empty(message) and not ends_a_turn(request, reason):
        return InvalidResponseError(f"the answer is empty (finish reason {reason!r})")
    if "refusal" in wanted and (message.get("refusal") or reason == "refusal"):
        return _unfit("the model declined to answer")
    if reason == "length":
        if "truncated" in wanted:
            return _unfit("the answer was cut off by its limit on tokens")
    else:
        calls: Any = message.get("tool_calls")
        if calls and (found := _call_fault(calls, request, wanted)):
            return _unfit(found)
        if "schema" in wanted and not calls and not message.get("refusal"):
            asked = request.params.get("response_format")
            if asked is not None and (found := _format_fault(asked, answer)):
                return _unfit(found)
    for check in policy.checks:
        try:
            verdict = check(answer)
        except Exception as error:
            if notes is not None:
                notes.append(f"the check {_name(check)} failed ({type(error).__name__}); the answer passed it unseen")
            continue
        if verdict:
            said = verdict[:80] if isinstance(verdict, str) else "it says that this is no answer"
            return _unfit(f"refused by the check {_name(check)}: {said}")
    return None


def ends_a_turn(request: RouteRequest, reason: str | None) -> bool:
    """Whether an answer with nothing in it is how an agent's turn ends: its tools have done what was asked."""
    return reason == "stop" and follows_tool_results(request.messages)


def _unfit(what: str) -> InvalidResponseError:
    """The deployment works; only this answer of it cannot be used."""
    error = InvalidResponseError(what)
    error.blame = "request"
    return error


def _call_fault(calls: Any, request: RouteRequest, wanted: frozenset[str]) -> str | None:
    if not wanted & {"tool_json", "tool_schema"} or not isinstance(calls, list | tuple):
        return None
    schemas = _schemas(request) if "tool_schema" in wanted else {}
    for call in calls:
        function = call.get("function") if isinstance(call, Mapping) else None
        if not isinstance(function, Mapping) or call.get("type") == "custom":
            continue
        if "tool_json" in wanted and not function.get("name"):
            return "a tool call has no name"
        given, problem_found = _arguments(function.get("arguments"))
        if problem_found:
            return f"the arguments of a tool call {problem_found}"
        if schemas:
            name = function.get("name")
            if name not in schemas:
                return "a tool was called that was not offered"
            if given is not None and (found := problem(given, schemas[name])):
                return f"the arguments of a tool call break its schema: {found}"
    return None


def _arguments(given: Any) -> tuple[Any, str | None]:
    """The arguments as an object, or what is wrong with them. Nothing at all stands for no arguments."""
    if given is None or isinstance(given, Mapping):
        return given or {}, None
    if not isinstance(given, str):
        return None, "are no JSON object"
    if not given.strip():
        return {}, None
    if len(given) > CHECKED_CHARACTERS:
        return None, None
    try:
        value = json.loads(given)
    except (ValueError, RecursionError):
        return None, "are no JSON"
    if value is None:
        return {}, None
    return (value, None) if isinstance(value, dict) else (None, "are no JSON object")


def _schemas(request: RouteRequest) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for tool in request.tools:
        function = tool.get("function") if isinstance(tool, Mapping) else None
        if isinstance(function, Mapping):
            found[function.get("name")] = function.get("parameters")
    return found


def _format_fault(asked: Any, answer: Answer) -> str | None:
    kind = asked.get("type") if isinstance(asked, Mapping) else None
    if kind not in ("json_object", "json_schema") or len(answer.text) > CHECKED_CHARACTERS:
        return None
    text = answer.text
    if (fenced := _FENCE.match(text)) is not None:
        text = fenced.group(1)
    value, wrong = parsed(text)
    if wrong is not None:
        return wrong
    if kind == "json_object":
        return None if isinstance(value, dict) else "the answer is no JSON object"
    inner = asked.get("json_schema")
    schema = inner.get("schema") if isinstance(inner, Mapping) else None
    found = None if schema is None else problem(value, schema)
    return f"the answer breaks the schema asked for: {found}" if found else None


def _name(check: Check) -> str:
    return str(getattr(check, "__name__", type(check).__name__))
