"""JSON schemas that a grammar can enforce."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from routekit.errors import InvalidRequestError

COMPACT = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": ", "coerce_one_of": True}
"""llguidance's way to ask for JSON on one line: small models otherwise spend their tokens on blanks."""


_UNENFORCED = frozenset(
    {"not", "uniqueItems", "contains", "minContains", "maxContains", "if", "then", "else", "dependencies",
     "dependentSchemas", "dependentRequired", "propertyNames", "unevaluatedProperties", "unevaluatedItems",
     "$dynamicRef", "$recursiveRef"}
)  # fmt: skip
"""Keywords that the grammar compiler does not know. It would then constrain nothing, in silence."""


_FORMATS = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri"}
)  # fmt: skip
"""Formats it enforces. Others are annotations, as JSON Schema has them, and are left out."""


_TYPES = frozenset({"object", "array", "string", "number", "integer", "boolean", "null"})


_MAPS = frozenset({"properties", "patternProperties", "$defs", "definitions"})


_LISTS = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})


_SCHEMAS = frozenset({"items", "additionalProperties", "additionalItems"})


_ANNOTATIONS = frozenset({"$schema", "$id", "$comment", "title", "description", "default", "examples", "example",
                          "deprecated", "readOnly", "writeOnly", "discriminator", "strict"})  # fmt: skip


def answer_schema(response_format: Any) -> dict[str, Any] | None:
    """The schema that `response_format` asks for, None for text."""
    if response_format is None:
        return None
    kind = response_format.get("type") if isinstance(response_format, Mapping) else None
    if kind == "text":
        return None
    if kind == "json_object":
        return {"type": "object"}
    if kind == "json_schema":
        inner = response_format.get("json_schema")
        schema = inner.get("schema") if isinstance(inner, Mapping) else None
        if isinstance(schema, Mapping):
            return enforceable(schema, "response_format")
    raise InvalidRequestError(
        "response_format must be {'type': 'text'}, {'type': 'json_object'} or "
        "{'type': 'json_schema', 'json_schema': {'schema': {...}}}"
    )


def reply_schema(
    functions: Sequence[Mapping[str, Any]], *, may_answer: bool, answer: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """One branch for an answer, where that is allowed, and one per function. Definitions move to the root."""
    definitions: dict[str, Any] = {}
    branches = []
    if may_answer:
        value = _hoisted(answer, "answer", definitions) if answer is not None else {"type": "string"}
        branches.append(_object(answer=value))
    for index, function in enumerate(functions):
        parameters = enforceable(function.get("parameters") or {"type": "object", "properties": {}}, function["name"])
        arguments = _hoisted(parameters, f"tool{index}", definitions)
        branches.append(_object(tool={"const": function["name"]}, arguments=arguments))
    schema: dict[str, Any] = {"x-guidance": COMPACT}
    schema |= branches[0] if len(branches) == 1 else {"anyOf": branches}
    if definitions:
        schema["$defs"] = definitions
    return schema


def enforceable(schema: Mapping[str, Any], where: str, *, closed: bool = True) -> dict[str, Any]:
    """A copy without annotations, its objects closed: small models invent further properties without end.

    (Not inside ``allOf``, whose parts would then exclude each other.)

    Raises:
        UnsupportedRequestError: a keyword that would not be enforced.
    """
    result: dict[str, Any] = {}
    for key, value in schema.items():
        if key in _UNENFORCED and value is not False:
            raise UnsupportedRequestError(f"{where}: local models cannot enforce the JSON schema keyword {key!r}")
        if key in _ANNOTATIONS or key in _UNENFORCED or (key == "format" and value not in _FORMATS):
            continue
        if key == "type":
            kinds = value if isinstance(value, list) else [value]
            if not kinds or not all(isinstance(kind, str) and kind in _TYPES for kind in kinds):
                raise InvalidRequestError(f"{where}: {value!r} is no JSON schema type")
        elif key in _MAPS and isinstance(value, Mapping):
            value = {name: _inner(part, f"{where}.{name}", closed) for name, part in value.items()}
        elif key in _LISTS and isinstance(value, Sequence):
            value = [_inner(part, where, closed and key != "allOf") for part in value]
        elif key in _SCHEMAS:
            value = _inner(value, where, closed)
        result[key] = value
    if closed and "properties" in result and not result.keys() & {"allOf", "patternProperties"}:
        result.setdefault("additionalProperties", False)
    return result


def _inner(value: Any, where: str, closed: bool) -> Any:
    return enforceable(value, where, closed=closed) if isinstance(value, Mapping) else value


def _hoisted(schema: Mapping[str, Any], prefix: str, definitions: dict[str, Any]) -> dict[str, Any]:
    """The schema with its ``$defs`` moved to `definitions` under prefixed names, and its ``$ref``s along."""

    def moved(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {
                key: _renamed(inner, prefix) if key == "$ref" and isinstance(inner, str) else moved(inner)
                for key, inner in value.items()
            }
        return [moved(item) for item in value] if isinstance(value, list) else value

    body = {key: value for key, value in schema.items() if key not in ("$defs", "definitions")}
    for holder in ("$defs", "definitions"):
        for name, definition in (schema.get(holder) or {}).items():
            definitions[f"{prefix}.{name}"] = moved(definition)
    if _points_at_root(body) or any(_points_at_root(value) for value in (schema.get("$defs") or {}).values()):
        definitions[f"{prefix}."] = moved(body)
    result: dict[str, Any] = moved(body)
    return result


def _points_at_root(value: Any) -> bool:
    if isinstance(value, Mapping):
        return value.get("$ref") == "#" or any(_points_at_root(inner) for inner in value.values())
    return isinstance(value, list) and any(_points_at_root(item) for item in value)


def _renamed(reference: str, prefix: str) -> str:
    if reference == "#":
        return f"#/$defs/{prefix}."
    for holder in ("#/$defs/", "#/definitions/"):
        if reference.startswith(holder):
            return f"#/$defs/{prefix}.{reference.removeprefix(holder)}"
    raise UnsupportedRequestError(f"the JSON schema reference {reference!r} points outside of $defs")


def _object(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object", "properties": properties, "required": list(properties), "additionalProperties": False,
    }  # fmt: skip


class UnsupportedRequestError(InvalidRequestError):
    """This runtime cannot do what was asked for; another deployment may."""

    fall_back = True
