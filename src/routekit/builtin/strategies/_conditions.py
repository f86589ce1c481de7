"""Conditions on a request, as data: ``{"tokens": {"$gt": 4000}, "metadata.tier": "gold"}``.

All entries of a mapping must hold. A key is a field, or ``$and``, ``$or`` (lists of mappings) or
``$not`` (a mapping). Behind a field stands a value (equal, or one of the list's) or a mapping of
operators. A field that a request lacks equals nothing and is neither more nor less than anything.

Fields with several values (`tools`, `tags`, `capabilities`, ``scopes.*``, lists in metadata) meet
``$eq``, ``$in`` and ``$regex`` when one of the values does; compared with a number they stand for
how many there are, and with true or false for whether there are any.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from routekit.plugin.patterns import runs_away
from routekit.types import RouteRequest, count_tokens, last_user_text
from routekit.types.suggest import closest

Condition = Callable[[RouteRequest], bool]
_Test = Callable[[Any], bool]

MAX_TEXT = 10_000
"""Characters of a text that patterns look at: bounds what a long message can cost."""

_MANY = (tuple, list, set, frozenset)


def _step(name: str) -> Callable[[RouteRequest], Any]:
    return lambda request: getattr(request.step, name) if request.step is not None else None


def _tools(request: RouteRequest) -> tuple[Any, ...]:
    return tuple((tool.get("function") or tool).get("name") for tool in request.tools)


_MEDIA = {"image_url": "vision", "image": "vision", "input_audio": "audio", "audio": "audio", "file": "pdf"}


def _capabilities(request: RouteRequest) -> frozenset[str]:
    """What was required, and what the request itself shows that it takes."""
    needed = set(request.requirements.capabilities)
    if request.tools:
        needed.add("tools")
    if isinstance(form := request.params.get("response_format"), Mapping) and form.get("type") in (
        "json_schema",
        "json_object",
    ):
        needed.add(form["type"])
    for message in request.messages:
        content = message.get("content")
        if isinstance(content, list | tuple):
            needed.update(_MEDIA[part["type"]] for part in content if part.get("type") in _MEDIA)
    return frozenset(needed)


FIELDS: Mapping[str, Callable[[RouteRequest], Any]] = {
    "capabilities": _capabilities,
    "group": lambda request: request.group,
    "messages": lambda request: len(request.messages),
    "model": lambda request: request.model,
    "session": lambda request: request.session,
    "step.after_tool_error": _step("after_tool_error"),
    "step.index": _step("index"),
    "step.kind": _step("kind"),
    "step.node": _step("node"),
    "step.run_id": _step("run_id"),
    "stream": lambda request: request.stream,
    "tags": lambda request: request.scopes.get("tag", ()),
    "text": lambda request: last_user_text(request.messages),
    "tokens": lambda request: count_tokens(request.messages, request.tools)[0],
    "tools": _tools,
}
"""`tokens` is the likely number of input tokens, `text` the newest user message, `tools` their names."""

OPEN_FIELDS: Mapping[str, Callable[[RouteRequest], Mapping[str, Any]]] = {
    "metadata": lambda request: request.metadata,
    "params": lambda request: request.params,
    "scopes": lambda request: request.scopes,
}
"""Fields whose keys are the caller's own: ``metadata.tier``, ``params.temperature``, ``scopes.project``."""

_SPACES = frozenset({*OPEN_FIELDS, "step"})


def compiled(when: Any) -> Condition:
    """The condition that data describes.

    Raises:
        ValueError: an unknown field or operator, an operand of the wrong kind, or a bad pattern;
            the message names it.
    """
    if not isinstance(when, Mapping):
        raise ValueError(f"a condition is a table of fields, such as {{ tools = true }}; got {type(when).__name__}")
    if not when:
        raise ValueError("an empty condition would match every request; use `default` for that")
    return _all([_entry(str(key), operand) for key, operand in when.items()])


def _entry(key: str, operand: Any) -> Condition:
    if key in ("$and", "$or"):
        parts = [compiled(part) for part in _list(key, operand)]
        return _all(parts) if key == "$and" else lambda request: any(part(request) for part in parts)
    if key == "$not":
        inner = compiled(operand)
        return lambda request: not inner(request)
    if key in _SPACES and isinstance(operand, Mapping):
        # `step.kind = "plan"` in a file arrives as { step = { kind = "plan" } }.
        if not operand:
            raise ValueError(f"{key!r} is an empty table; name a field in it")
        return _all([_entry(f"{key}.{name}", inner) for name, inner in operand.items()])
    if key == "step":
        key = "step.kind"
    read, test = _reader(key), _test(key, operand)
    return lambda request: test(read(request))


def _all(parts: list[Condition]) -> Condition:
    if len(parts) == 1:
        return parts[0]
    return lambda request: all(part(request) for part in parts)


def _reader(key: str) -> Callable[[RouteRequest], Any]:
    if (read := FIELDS.get(key)) is not None:
        return read
    space, _, path = key.partition(".")
    if (root := OPEN_FIELDS.get(space)) is not None and path:
        return lambda request: _at(root(request), path)
    if key.startswith("$"):
        raise ValueError(f"unknown operator {key!r} in the place of a field; known there: $and, $not, $or")
    known = sorted([*FIELDS, *(f"{name}.*" for name in OPEN_FIELDS)])
    near = closest(key, known)
    raise ValueError(f"unknown field {key!r}; " + (f"did you mean {near!r}?" if near else f"known: {', '.join(known)}"))


def _at(values: Mapping[str, Any], path: str) -> Any:
    """A value by its key, or by a dotted path into nested mappings."""
    if path in values:
        return values[path]
    head, dot, rest = path.partition(".")
    inner = values.get(head)
    return _at(inner, rest) if dot and isinstance(inner, Mapping) else None


def _test(field: str, operand: Any) -> _Test:
    """What an operand asks of a field's value."""
    if isinstance(operand, Mapping):
        if not operand:
            raise ValueError(f"{field!r} has an empty table; give it a value or an operator")
        tests = [_operator(field, str(name), value) for name, value in operand.items()]
        return lambda value: all(test(value) for test in tests)
    return _operator(field, "$in" if isinstance(operand, _MANY) else "$eq", operand)


def _operator(field: str, name: str, operand: Any) -> _Test:
    where = f"{name} of {field!r}"
    match name:
        case "$eq" | "$ne":
            if isinstance(operand, (*_MANY, Mapping)):
                raise ValueError(f"{where} takes one value; use $in or $nin for a list")
            equal = _equals(operand)
            return equal if name == "$eq" else lambda value: not equal(value)
        case "$in" | "$nin":
            tests = [_equals(one) for one in _list(where, operand)]
            if name == "$in":
                return lambda value: any(test(value) for test in tests)
            return lambda value: not any(test(value) for test in tests)
        case "$gt" | "$gte" | "$lt" | "$lte":
            if isinstance(operand, bool) or not isinstance(operand, int | float | str):
                raise ValueError(f"{where} takes a number or a text; got {type(operand).__name__}")
            return _compares(name, operand)
        case "$regex":
            return _matches(where, operand)
        case "$exists":
            if not isinstance(operand, bool):
                raise ValueError(f"{where} takes true or false; got {operand!r}")
            return lambda value: (value is not None and value != "" and not _is_empty(value)) is operand
        case "$not":
            inner = _test(field, operand)
            return lambda value: not inner(value)
        case "$and" | "$or":
            inners = [_test(field, one) for one in _list(where, operand)]
            if name == "$and":
                return lambda value: all(test(value) for test in inners)
            return lambda value: any(test(value) for test in inners)
    known = "$and, $eq, $exists, $gt, $gte, $in, $lt, $lte, $ne, $nin, $not, $or, $regex"
    raise ValueError(f"unknown operator {name!r} of {field!r}; known: {known}")


def _list(where: str, operand: Any) -> list[Any]:
    if not isinstance(operand, list | tuple) or not operand:
        raise ValueError(f"{where} takes a list with something in it; got {operand!r}")
    return list(operand)


def _is_empty(value: Any) -> bool:
    return isinstance(value, _MANY) and not value


def _equals(operand: Any) -> _Test:
    truth, number = isinstance(operand, bool), isinstance(operand, int | float)

    def same(value: Any) -> bool:
        return isinstance(value, bool) is truth and bool(value == operand)  # True is not 1 here

    def test(value: Any) -> bool:
        if not isinstance(value, _MANY):
            return same(value)
        if truth:
            return bool(value) is operand
        return (number and len(value) == operand) or any(same(one) for one in value)

    return test


def _compares(name: str, operand: Any) -> _Test:
    number = not isinstance(operand, str)

    def test(value: Any) -> bool:
        if number and isinstance(value, _MANY):
            value = len(value)
        if isinstance(value, bool) or not isinstance(value, int | float if number else str):
            return False
        match name:
            case "$gt":
                return bool(value > operand)
            case "$gte":
                return bool(value >= operand)
            case "$lt":
                return bool(value < operand)
        return bool(value <= operand)

    return test


def _matches(where: str, operand: Any) -> _Test:
    if not isinstance(operand, str):
        raise ValueError(f"{where} takes a pattern as text; got {type(operand).__name__}")
    try:
        search = re.compile(operand).search
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"{where} is no valid pattern: {error}") from None
    if runs_away(operand):
        raise ValueError(
            f"{where} repeats a group that itself repeats without a limit, which a hostile text can make take "
            "forever; make the inner repeat possessive (`++`, `*+`) or bounded (`{1,20}`)"
        )

    def test(value: Any) -> bool:
        if isinstance(value, str):
            return search(value[:MAX_TEXT]) is not None
        return isinstance(value, _MANY) and any(test(one) for one in value if isinstance(one, str))

    return test
