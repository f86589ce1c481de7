"""A compact JSON Schema check: enough for structured output, sound in what it refuses.

Checked keywords: `type`, `enum`, `const`, `properties`, `required`, `additionalProperties`, `items`,
`minItems`, `maxItems`, `minLength`, `maxLength`, `pattern`, `minimum`, `maximum`, `exclusiveMinimum`,
`exclusiveMaximum`, `anyOf`, `oneOf`, `allOf`, and ``$ref`` to a place in the same schema. Every other
keyword, a reference that leads nowhere or out of the schema, and a pattern that Python cannot read
or that could run away are passed over: what is refused is wrong for certain, what is accepted may still break a keyword
that is not listed.

Problems name places and expectations, never the value found there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from routekit.plugin.patterns import runs_away

MAX_PATTERN_TEXT = 10_000
"""Characters; a longer string is not held against `pattern`, whose time may grow faster than the text."""

_MISSING = object()


def parsed(text: str) -> tuple[Any, str | None]:
    """``(value, None)``, or ``(None, problem)`` where the text is no strict JSON."""
    try:
        return json.loads(text, parse_constant=_refuse), None
    except (ValueError, RecursionError):
        return None, "the answer is not JSON"


def problem(value: Any, schema: Any) -> str | None:
    """The first thing in `value` that breaks `schema`, or None.

    >>> problem({"age": "x"}, {"properties": {"age": {"type": "integer"}}})
    '$.age is not of type integer'
    """
    try:
        return _check(value, schema, schema, "$")
    except RecursionError:
        return "the answer is nested too deeply to be checked"


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")


def _check(value: Any, schema: Any, root: Any, at: str) -> str | None:
    if schema is False:
        return f"{at} may not be there"
    if not isinstance(schema, Mapping):
        return None
    if isinstance(reference := schema.get("$ref"), str):
        target = _target(reference, root)
        if target is not _MISSING and target is not schema and (found := _check(value, target, root, at)):
            return found
    return (
        _check_value(value, schema, at)
        or _check_object(value, schema, root, at)
        or _check_array(value, schema, root, at)
        or _check_combined(value, schema, root, at)
    )


def _check_value(value: Any, schema: Mapping[str, Any], at: str) -> str | None:
    kinds = schema.get("type")
    if kinds is not None:
        names = [kinds] if isinstance(kinds, str) else list(kinds)
        if not any(_is(value, name) for name in names):
            return f"{at} is not of type {' or '.join(map(str, names))}"
    if "const" in schema and not _same(value, schema["const"]):
        return f"{at} is not the one value allowed"
    if isinstance(choices := schema.get("enum"), list | tuple) and not any(_same(value, one) for one in choices):
        return f"{at} is none of the {len(choices)} values allowed"
    if isinstance(value, str):
        return _check_text(value, schema, at)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _check_number(value, schema, at)
    return None


def _check_text(value: str, schema: Mapping[str, Any], at: str) -> str | None:
    if (least := schema.get("minLength")) is not None and len(value) < least:
        return f"{at} is shorter than {least} characters"
    if (most := schema.get("maxLength")) is not None and len(value) > most:
        return f"{at} is longer than {most} characters"
    pattern = schema.get("pattern")
    # A tool's schema may be a stranger's, and the text is a model's: neither may stop the program.
    if isinstance(pattern, str) and len(value) <= MAX_PATTERN_TEXT and not runs_away(pattern):
        try:
            found = re.search(pattern, value)
        except (re.error, OverflowError):  # written for another dialect
            return None
        if found is None:
            return f"{at} does not match its pattern"
    return None


def _check_number(value: float, schema: Mapping[str, Any], at: str) -> str | None:
    if (least := schema.get("minimum")) is not None and value < least:
        return f"{at} is less than {least}"
    if (most := schema.get("maximum")) is not None and value > most:
        return f"{at} is more than {most}"
    # Draft 4 wrote these two as booleans beside minimum and maximum; those are passed over.
    least, most = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    if least is not None and not isinstance(least, bool) and value <= least:
        return f"{at} is not more than {least}"
    if most is not None and not isinstance(most, bool) and value >= most:
        return f"{at} is not less than {most}"
    return None


def _check_object(value: Any, schema: Mapping[str, Any], root: Any, at: str) -> str | None:
    if not isinstance(value, Mapping):
        return None
    for name in schema.get("required") or ():
        if name not in value:
            return f"{at}.{name} is missing"
    properties = schema.get("properties") or {}
    for name, inner in properties.items():
        if name in value and (found := _check(value[name], inner, root, f"{at}.{name}")):
            return found
    rest = schema.get("additionalProperties", True)
    if rest is True:
        return None
    patterns = schema.get("patternProperties")
    others = [name for name in value if name not in properties]
    if not others or patterns:  # what patternProperties covers is not additional, and it is not checked
        return None
    if rest is False:
        return f"{at} has {len(others)} key{'s' if len(others) > 1 else ''} that the schema does not allow"
    for name in others:
        if found := _check(value[name], rest, root, f"{at}.*"):
            return found
    return None


def _check_array(value: Any, schema: Mapping[str, Any], root: Any, at: str) -> str | None:
    if not isinstance(value, list):
        return None
    if (least := schema.get("minItems")) is not None and len(value) < least:
        return f"{at} has fewer than {least} items"
    if (most := schema.get("maxItems")) is not None and len(value) > most:
        return f"{at} has more than {most} items"
    inner = schema.get("items")
    if isinstance(inner, Mapping | bool):
        # Behind `prefixItems`, `items` speaks of the rest only.
        start = len(schema.get("prefixItems") or ())
        for index in range(start, len(value)):
            if found := _check(value[index], inner, root, f"{at}[{index}]"):
                return found
    return None


def _check_combined(value: Any, schema: Mapping[str, Any], root: Any, at: str) -> str | None:
    for inner in schema.get("allOf") or ():
        if found := _check(value, inner, root, at):
            return found
    if (choices := schema.get("anyOf")) and all(_check(value, inner, root, at) for inner in choices):
        return f"{at} fits none of the {len(choices)} forms allowed"
    if choices := schema.get("oneOf"):
        # Forms that tell each other apart by a keyword that is passed over may seem to fit at once.
        if all(_check(value, inner, root, at) for inner in choices):
            return f"{at} fits none of the {len(choices)} forms allowed"
        fitting = [inner for inner in choices if _check(value, inner, root, at) is None]
        if len(fitting) > 1 and all(_is_fully_known(inner) for inner in fitting):
            return f"{at} fits {len(fitting)} forms where exactly one is allowed"
    return None


_KNOWN = frozenset(
    {"type", "enum", "const", "properties", "required", "additionalProperties", "items", "minItems", "maxItems",
     "minLength", "maxLength", "minimum", "maximum", "title", "description", "default", "examples", "$comment"}
)  # fmt: skip


def _is_fully_known(schema: Any) -> bool:
    """Whether fitting this schema is certain: it holds nothing that is passed over."""
    if isinstance(schema, bool):
        return True
    if not isinstance(schema, Mapping) or not schema.keys() <= _KNOWN:
        return False
    inner = [*(schema.get("properties") or {}).values()]
    inner += [schema[key] for key in ("items", "additionalProperties") if key in schema]
    return all(_is_fully_known(one) for one in inner)


def _is(value: Any, kind: Any) -> bool:
    match kind:
        case "object":
            return isinstance(value, Mapping)
        case "array":
            return isinstance(value, list)
        case "string":
            return isinstance(value, str)
        case "boolean":
            return isinstance(value, bool)
        case "null":
            return value is None
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "integer":
            whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
            return whole and not isinstance(value, bool)
    return True


def _same(a: Any, b: Any) -> bool:
    """Equality of JSON: 1 is 1.0, true is not 1."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, list) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    return bool(a == b)


def _target(reference: str, root: Any) -> Any:
    """What a JSON pointer (RFC 6901) into the same schema means, or `_MISSING`."""
    if not reference.startswith("#"):
        return _MISSING
    current = root
    for part in reference[1:].split("/")[1:]:
        part = part.replace("~1", "/").replace("~0", "~")
        if isinstance(current, Mapping) and part in current:
            current = current[part]
        elif isinstance(current, list) and part.isdigit() and int(part) < len(current):
            current = current[int(part)]
        else:
            return _MISSING
    return current
