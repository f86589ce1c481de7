"""Takes the white space out of JSON that a person or a tool wrote out prettily."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from routekit.plugin import Compression, Compressor, CompressorPlugin
from routekit.types import Message, RouteRequest

_ROLES = frozenset({"user", "tool", "function"})
_STRING_OR_SPACE = re.compile(r'("(?:[^"\\]|\\.)*+")|[ \t\r\n]++')
_OPENING = re.compile(r"```json[ \t]*\r?\n?\Z")
_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_CLOSING = re.compile(r"```[ \t]*\r?\n?\Z")


class JsonMinify(Compressor):
    """Removes white space between JSON tokens in user messages and tool results, and nothing else.

    A text that is a JSON object or array as a whole is minified, and so is each fenced block that
    says it is ``json``. Numbers, escapes, key order and duplicate keys stay as they were written.
    """

    lossless = True
    stable = True

    def compress(self, request: RouteRequest, target_tokens: int | None) -> Compression:
        messages = tuple(_smaller(message) for message in request.messages)
        if all(new is old for new, old in zip(messages, request.messages, strict=True)):
            return Compression(request=request, lossless=True)
        return Compression(
            request=replace(request, messages=messages), lossless=True, removed="white space between JSON tokens"
        )


def minify(text: str) -> str:
    """A JSON object or array without insignificant white space; any other text as it is.

    >>> minify('{"a": [1.0, 2e3, "x  y"]}')
    '{"a":[1.0,2e3,"x  y"]}'
    >>> minify("no JSON")
    'no JSON'
    """
    stripped = text.strip(" \t\r\n")
    if not (stripped.startswith(("{", "[")) and stripped.endswith(("}", "]"))):
        return text
    try:
        before = _read(stripped)
        small = _STRING_OR_SPACE.sub(lambda found: found.group(1) or "", stripped)
        return small if len(small) < len(text) and _read(small) == before else text
    except (ValueError, RecursionError):
        return text


def _read(text: str) -> Any:
    """The document with numbers as written, and duplicate keys and order kept."""
    return json.loads(text, parse_float=_number, parse_int=_number, parse_constant=_number, object_pairs_hook=tuple)


def _number(written: str) -> tuple[str, str]:
    return ("number", written)


def _minify_fences(text: str) -> str:
    """Each ```` ```json ```` block minified. A JSON text holds no line of backticks, so the next one closes it."""
    if "```json" not in text:
        return text
    done: list[str] = []
    block: list[str] | None = None
    for line in _LINE.findall(text):
        if block is None:
            done.append(line)
            if _OPENING.match(line):
                block = []
        elif _CLOSING.match(line):
            body = "".join(block)
            small = minify(body)
            if small is not body:
                small += "\r\n" if body.endswith("\r\n") else "\n"
            done.append(small if len(small) < len(body) else body)
            done.append(line)
            block = None
        else:
            block.append(line)
    if block:
        done.extend(block)
    return "".join(done)


def _smaller_text(text: str) -> str:
    small = minify(text)
    return _minify_fences(text) if small is text else small


def _smaller(message: Message) -> Message:
    """The message, or a smaller copy."""
    content = message.get("content")
    if message.get("role") not in _ROLES or not content:
        return message
    if isinstance(content, str):
        small = _smaller_text(content)
        return message if small is content or small == content else {**message, "content": small}
    parts = [_smaller_part(part) for part in content]
    if all(new is old for new, old in zip(parts, content, strict=True)):
        return message
    return {**message, "content": parts}


def _smaller_part(part: Any) -> Any:
    text = part.get("text") if isinstance(part, Mapping) else None
    if not isinstance(text, str):
        return part
    small = _smaller_text(text)
    return part if small == text else {**part, "text": small}


PLUGIN = CompressorPlugin(
    name="json-minify",
    factory=lambda options, context: JsonMinify(),
    summary="Removes white space between JSON tokens in tool results and user messages; loses nothing.",
)
