"""Takes out of tool definitions what says nothing: titles that repeat a name, defaults, indentation."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from routekit.plugin import Compression, Compressor, CompressorPlugin
from routekit.types import RouteRequest

_MUTE = frozenset({"$schema", "$id", "$comment"})
_MAPS = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
_LISTS = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_ONE = frozenset({"items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames"})
_WORDS = re.compile(r"[^a-z0-9]+")
_INDENT = re.compile(r"[ \t]*\n[ \t]*")


class SchemaMinify(Compressor):
    """Makes the JSON schemas of tools smaller without changing what they allow or tell.

    Gone are ``$schema``, ``$id`` and ``$comment``, titles that repeat a property's or function's name (as
    pydantic writes them), keywords that say what holds anyway (``required: []``,
    ``additionalProperties: true``), and the indentation of descriptions.
    """

    lossless = True
    stable = True

    def compress(self, request: RouteRequest, target_tokens: int | None) -> Compression:
        tools = tuple(_tool(tool) for tool in request.tools)
        if tools == request.tools:
            return Compression(request=request, lossless=True)
        return Compression(request=replace(request, tools=tools), lossless=True, removed="what tool schemas say twice")


def minify_schema(schema: Mapping[str, Any], name: str = "") -> dict[str, Any]:
    """The schema without what says nothing. `name` is that of the property it describes.

    >>> minify_schema({"title": "User Id", "type": "string", "description": "Who.\\n    Really."}, "user_id")
    {'type': 'string', 'description': 'Who.\\nReally.'}
    """
    small: dict[str, Any] = {}
    for key, value in schema.items():
        if key in _MUTE and isinstance(value, str):
            continue
        if key == "title" and isinstance(value, str) and (not value or _bare(value) == _bare(name)):
            continue
        if (key == "required" and value == []) or (key == "additionalProperties" and value is True):
            continue
        if key == "description" and isinstance(value, str):
            small[key] = _INDENT.sub("\n", value).strip()
        elif key in _MAPS and isinstance(value, Mapping):
            small[key] = {inner: _inner(part, inner) for inner, part in value.items()}
        elif key in _LISTS and isinstance(value, list):
            small[key] = [_inner(part, "") for part in value]
        elif key in _ONE:
            small[key] = _inner(value, "")
        else:
            small[key] = value
    return small


def _inner(value: Any, name: str) -> Any:
    return minify_schema(value, name) if isinstance(value, Mapping) else value


def _tool(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    function = tool.get("function")
    if not isinstance(function, Mapping):
        return tool
    name = str(function.get("name", ""))
    small = dict(function)
    if isinstance(small.get("description"), str):
        small["description"] = _INDENT.sub("\n", small["description"]).strip()
    if isinstance(small.get("parameters"), Mapping):
        small["parameters"] = minify_schema(small["parameters"], name)
    return tool if small == function else {**tool, "function": small}


def _bare(text: str) -> str:
    return _WORDS.sub("", text.lower())


PLUGIN = CompressorPlugin(
    name="schema-minify",
    factory=lambda options, context: SchemaMinify(),
    summary="Takes out of tools' JSON schemas what says nothing or says it twice; loses nothing.",
)
