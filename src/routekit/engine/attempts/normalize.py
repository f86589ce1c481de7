"""Pure: what providers say, made what the types promise, once, at the engine's border.

Any plugin may hand over what an endpoint said: a model that is an object, content in parts, arguments
that are no text, half a surrogate pair, log-probabilities that are none. Behind this file there is only
what JSON can carry and the types say. What cannot be read is left out; an answer of which nothing is left
is empty, and no answer. (Token counts are made sense of where they are billed.)
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any

from routekit.plugin.deltas import PARTS
from routekit.plugin.finishreason import finish_reason_of
from routekit.plugin.toolcalls import as_json_text, body_of, listed, new_call_id
from routekit.types import Answer, Choice, Message, Usage

DEEPEST = 64
"""Objects nested further are left out: nobody reads them, and copying them would overflow the stack."""

_LONGEST_NAME = 256
_NO_WAY = -9999.0
"""OpenAI's own figure for a token that is as good as impossible, where JSON has no minus infinity."""

_SURROGATE = re.compile("[\ud800-\udfff]")
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_TEXT_PARTS = frozenset({"text", "output_text", "input_text"})
_THINKING_PARTS = frozenset({"thinking", "redacted_thinking", "reasoning"})
_LONE_PARTS = _TEXT_PARTS | _THINKING_PARTS
_SAID = ("reasoning_content", "reasoning", "refusal")
_TEXTS = ("content", *_SAID)
_USUAL = ("stop", "length", None)
_HEADERS = (dict, MappingProxyType)
_ROLES = (None, "assistant")
_PLAIN_DELTA = frozenset({"role", "content"})


def answer_of(answer: Any) -> Answer:
    """A provider's answer as the types promise it; the very same object where it is already.

    Raises:
        TypeError: the plugin returned something else.
    """
    if not isinstance(answer, Answer):
        raise TypeError(f"a provider answers with an Answer, not {type(answer).__name__}")
    message = answer.message
    if (
        message.__class__ is dict
        and len(message) == 2
        and (content := message.get("content")).__class__ is str
        and content.isascii()
        and message.get("role") == "assistant"
        and answer.finish_reason in _USUAL
        and (answer.model is None or (answer.model.__class__ is str and answer.model.isascii()))
        and answer.logprobs is None
        and not answer.others
        and (answer.usage is None or answer.usage.__class__ is Usage)
        and answer.headers.__class__ in _HEADERS
    ):
        return answer
    return Answer(
        message=message_from(message),
        finish_reason=finish_reason_of(answer.finish_reason),
        usage=answer.usage if isinstance(answer.usage, Usage) else None,
        model=name_of(answer.model),
        logprobs=logprobs_of(answer.logprobs),
        headers=answer.headers if isinstance(answer.headers, Mapping) else {},
        others=tuple(
            Choice(
                message=message_from(choice.message),
                finish_reason=finish_reason_of(choice.finish_reason),
                logprobs=logprobs_of(choice.logprobs),
                index=choice.index if isinstance(choice.index, int) else place,
            )
            for place, choice in enumerate(answer.others, start=1)
            if isinstance(choice, Choice)
        ),
    )


def message_from(message: Any) -> Message:
    """A message of the wire as one that can be read, kept and sent again. Its role is the assistant's."""
    if not isinstance(message, Mapping):
        return {"role": "assistant", "content": None}
    content = message.get("content")
    if len(message) == 2 and content.__class__ is str and "role" in message:
        return {"role": "assistant", "content": clean_text(content)}
    out = _read(message)
    if parts := out.pop(PARTS, None):
        out["content"] = [*([{"type": "text", "text": out["content"]}] if out.get("content") else ()), *parts]
    out.setdefault("content", None)
    calls = [_call(call) for call in listed(message.get("tool_calls"))]
    if calls:
        for place, call in enumerate(calls):
            if not call["id"] or any(call["id"] == other["id"] for other in calls[:place]):
                call["id"] = new_call_id()
        out["tool_calls"] = calls
    return {"role": "assistant", **out}  # type: ignore[typeddict-item]  # built as one


def name_of(value: Any) -> str | None:
    """A model's name, or None for what is none."""
    return clean_text(value[:_LONGEST_NAME]) or None if isinstance(value, str) else None


def clean_text(text: str) -> str:
    """The text without halves of surrogate pairs, which no encoding can write.

    >>> clean_text("a\\ud83d\\ude00"), clean_text("a\\ud83d")
    ('a😀', 'a\ufffd')
    """
    if text.isascii() or _SURROGATE.search(text) is None:
        return text if text.__class__ is str else str.__str__(text)
    return _SURROGATE.sub("\ufffd", _PAIR.sub(_joined, text))


def _joined(pair: re.Match[str]) -> str:
    return pair[0].encode("utf-16", "surrogatepass").decode("utf-16")


def cleaned(value: Any, depth: int = 0) -> Any:
    """The value as plain data that JSON can carry, a copy of one's own; None for what it cannot."""
    if isinstance(value, str):
        return clean_text(value)
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if depth >= DEEPEST:
        return None
    if isinstance(value, Mapping):
        return {
            clean_text(key if isinstance(key, str) else repr(key)): cleaned(inner, depth + 1)
            for key, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [cleaned(inner, depth + 1) for inner in value]
    return None


def logprobs_of(value: Any) -> Mapping[str, Any] | None:
    """Chat Completions' log-probabilities: lists of tokens with a real number each. None where there are none."""
    if not isinstance(value, Mapping):
        return None
    out: dict[str, Any] = {}
    for key in ("content", "refusal"):
        entries = value.get(key)
        if isinstance(entries, list | tuple) and (good := [e for entry in entries if (e := _entry(entry)) is not None]):
            out[key] = good
    return out or None


def _entry(value: Any) -> Mapping[str, Any] | None:
    if not isinstance(value, Mapping):
        return None
    token, logprob = value.get("token"), value.get("logprob")
    if not isinstance(token, str) or not isinstance(logprob, int | float) or isinstance(logprob, bool):
        return None
    top = value.get("top_logprobs")
    given: list[Any] = list(top) if isinstance(top, list | tuple) else []
    others = [found for other in given if (found := _entry(other)) is not None]
    fine = token.isascii() and math.isfinite(logprob) and (not given or len(others) == len(given))
    if fine and (top is None or isinstance(top, list)) and all(a is b for a, b in zip(others, given, strict=False)):
        return value
    number = float(logprob) if math.isfinite(logprob) else _NO_WAY
    rest = {key: cleaned(inner) for key, inner in value.items() if isinstance(key, str)}
    return {**rest, "token": clean_text(token), "logprob": number, "top_logprobs": others}


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    """A tool call: its id, "" where there is none, its type, and its name and arguments as texts."""
    kind, body = body_of(call)
    text = "input" if kind == "custom" else "arguments"
    name, given = body.get("name"), call.get("type")
    said = {
        "name": clean_text(name) if isinstance(name, str) else "",
        text: clean_text(as_json_text(body.get(text))),
    }
    said.update(_extras(body, said.keys()))
    call_id = call.get("id")
    out: dict[str, Any] = {
        "id": clean_text(call_id) if isinstance(call_id, str) else "",
        "type": clean_text(given) if isinstance(given, str) and given and kind == "function" else kind,
        kind: said,
    }
    beside = call.keys() - out.keys() - {"index", "name", "arguments", "function"}
    out.update(_extras(call, call.keys() - beside))
    return out


def _extras(found: Mapping[str, Any], known: Collection[str]) -> dict[str, Any]:
    """What stands there beside what is known, as plain data, without what says nothing."""
    made: dict[str, Any] = cleaned({key: value for key, value in found.items() if key not in known})
    return {key: value for key, value in made.items() if value is not None}


def _read(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message or delta without its role and tool calls: texts are texts, everything else is plain data."""
    out: dict[str, Any] = {}
    for key, value in message.items():
        if value is None or key in ("role", "tool_calls"):
            continue
        if key == "content":
            _read_content(value, out)
        elif key in _SAID:
            if text := _flat(value):
                out[key] = text
        elif key == "function_call":
            if isinstance(value, Mapping):
                out[key] = _function(value)
        elif key == "audio":
            if isinstance(value, Mapping):
                out[key] = cleaned(value)
        elif isinstance(key, str) and (kept := cleaned(value)) is not None:
            out[clean_text(key)] = kept
    return out


def _function(value: Mapping[str, Any]) -> dict[str, Any]:
    out = {}
    if isinstance(name := value.get("name"), str):
        out["name"] = clean_text(name)
    if value.get("arguments") is not None:
        out["arguments"] = clean_text(as_json_text(value["arguments"]))
    return out


def _read_content(content: Any, out: dict[str, Any]) -> None:
    """`content` as a text; the thinking in it apart; parts of another kind as they are."""
    if isinstance(content, str):
        out["content"] = clean_text(content)
        return
    parts = [content] if isinstance(content, Mapping) and _kind(content) in _LONE_PARTS else content
    if not isinstance(parts, list | tuple) or not all(_is_part(part) for part in parts):
        # A number, or the object itself where JSON was asked for. True says nothing.
        out["content"] = "" if isinstance(content, bool) else clean_text(as_json_text(cleaned(content)))
        return
    texts: list[str] = []
    thoughts: list[str] = []
    for part in parts:
        if isinstance(part, str):
            texts.append(part)
        elif part is None:
            continue
        elif (kind := _kind(part)) in _TEXT_PARTS:
            texts.append(_flat(part))
        elif kind in _THINKING_PARTS:
            thoughts.append(_flat(part))
            if part.get("signature") or kind == "redacted_thinking":
                out.setdefault("thinking_blocks", []).append(cleaned(part))
        elif kind == "refusal":
            out["refusal"] = out.get("refusal", "") + _flat(part.get("refusal"))
        else:
            out.setdefault(PARTS, []).append(cleaned(part))
    out["content"] = clean_text("".join(texts))
    if (thought := clean_text("".join(thoughts))) and not out.get("reasoning_content"):
        out["reasoning_content"] = thought


def _is_part(value: Any) -> bool:
    return value is None or isinstance(value, str) or (isinstance(value, Mapping) and bool(_kind(value)))


def _kind(part: Mapping[str, Any]) -> str:
    """The type of a part of the content; "" for what is none."""
    kind = part.get("type")
    if isinstance(kind, str) and kind:
        return kind
    return "text" if isinstance(part.get("text"), str) else ""


def _flat(value: Any, depth: int = 0) -> str:
    """The text of a text, of a part, or of a list of them."""
    if isinstance(value, str):
        return clean_text(value)
    if depth > 4:
        return ""
    if isinstance(value, Mapping):
        keys = ("text", "thinking", "reasoning", "summary", "value", "content")
        return next((text for key in keys if (text := _flat(value.get(key), depth + 1))), "")
    if isinstance(value, list | tuple):
        return "".join(_flat(item, depth + 1) for item in value)
    return ""
