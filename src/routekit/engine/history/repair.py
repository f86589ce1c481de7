"""Pure: a message history repaired for its next reader.

A conversation that went through several vendors carries what only one of them takes: thought
signatures, cache marks, ids of another shape, an answer to go on with. Here, and only here, that is
made readable for the deployment that is asked next; what it understands is in `dialect`.

Nothing that was said is lost: every text, every tool call and every result stays, in order, a result
straight behind its call. Ids are made from the old ones alone, so that the beginning of a growing
history stays the same, and with it the vendor's prompt cache.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from routekit.engine.history.dialect import Reader, reader_of
from routekit.engine.history.tool_pairs import SIGNED_ID, is_paired, joined, paired, told
from routekit.engine.history.turns import in_turns, without_blanks
from routekit.types import Deployment, Message

_CALL_KEYS = frozenset({"id", "type", "function", "custom"})
_NO_SIGNATURE = "skip_thought_signature_validator"
_PLAIN_ROLES = frozenset({"system", "user", "assistant"})
_KNOWN_ROLES = _PLAIN_ROLES | {"tool"}
_SIMPLE = frozenset({"role", "content", "tool_call_id"})
_FOREIGN = frozenset(
    {"reasoning_content", "reasoning", "reasoning_details", "thinking_blocks", "provider_specific_fields",
     "extra_content", "annotations", "citations", "search_results", "related_questions", "references", "sources",
     "images", "videos", "extras", "refusal", "audio", "prefix", "partial"}
)  # fmt: skip
"""Keys of answers, which mean something to some readers at most."""

_CACHE_MARKS = ("cache_control", "prompt_cache_breakpoint")
_PART_NEEDS = {
    "image_url": ("vision", "An image"), "image": ("vision", "An image"), "input_image": ("vision", "An image"),
    "input_audio": ("audio", "A sound"), "audio": ("audio", "A sound"), "audio_url": ("audio", "A sound"),
    "file": ("pdf", "A file"), "input_file": ("pdf", "A file"), "document": ("pdf", "A file"),
}  # fmt: skip
_THINKING = frozenset({"thinking", "redacted_thinking", "reasoning"})
_SIGNERS = (("anthropic", "anthropic"), ("google", "google"), ("openai", "openai"))


def portable(
    messages: Sequence[Message], *, reader: Deployment, tools: Sequence[Mapping[str, Any]] = ()
) -> tuple[Message, ...]:
    """The messages as `reader` takes them; the very same object where nothing had to change.

    `tools` are those sent along: some readers take no tool calls in a history without them. Doing it
    twice changes nothing more. The input is never changed; unchanged messages are handed on as they are.
    """
    who = reader_of(reader)
    if _plain(messages, who):
        return cast("tuple[Message, ...]", messages)
    dialect = who.dialect
    last = len(messages) - 1
    out: list[Any] = [_cleaned(message, who, at == last) for at, message in enumerate(messages)]
    if any(message["role"] == "tool" or message.get("tool_calls") for message in out):
        if not who.tools or (dialect.wants_tools and not tools):
            out = [told(message) for message in out]
        elif not is_paired(out, who):
            out = paired(out, who)
    out = in_turns(out if dialect.blank else without_blanks(out), who)
    if len(out) == len(messages) and all(a is b for a, b in zip(out, messages, strict=True)):
        return cast("tuple[Message, ...]", messages)
    return tuple(out)


def portable_tools(tools: Sequence[Mapping[str, Any]], *, reader: Deployment) -> tuple[Mapping[str, Any], ...]:
    """The tools without cache marks that `reader` does not understand; the very same object where there are none."""
    who = reader_of(reader)
    out = tuple(_unmarked(tool, who) for tool in tools)
    if all(a is b for a, b in zip(out, tools, strict=True)):
        return cast("tuple[Mapping[str, Any], ...]", tools)
    return out


def _unmarked(value: Mapping[str, Any], who: Reader) -> Mapping[str, Any]:
    function = value.get("function")
    if isinstance(function, Mapping) and (cleaned := _unmarked(function, who)) is not function:
        value = {**value, "function": cleaned}
    marks = [key for key in _CACHE_MARKS if key in value and not _keeps_mark(key, who)]
    return {key: kept for key, kept in value.items() if key not in marks} if marks else value


def _plain(messages: Sequence[Message], who: Reader) -> bool:
    """Whether there are only texts in it, in an order that every reader takes: most histories."""
    if who.dialect.wants_reasoning:
        return False
    said = ""
    for message in messages:
        content, role = message.get("content"), message["role"]
        if len(message) != 2 or content.__class__ is not str or role not in _PLAIN_ROLES:
            return False
        if role == said or not content or content.isspace() or (not said and role == "assistant"):
            return False
        if role != "system":
            said = role
        elif said:
            return False
    return said == "user"


def _cleaned(message: Mapping[str, Any], who: Reader, last: bool) -> Mapping[str, Any]:
    """The message without what the reader does not know; the same object where it knows everything."""
    dialect, role = who.dialect, message["role"]
    simple = role in _KNOWN_ROLES and message.keys() <= _SIMPLE and message.get("content").__class__ is str
    if simple and not (dialect.wants_reasoning and role == "assistant"):
        return message
    changes: dict[str, Any] = {}
    if role == "developer" and not dialect.developer:
        changes["role"] = "system"
    elif role == "function" and not dialect.native:
        changes["role"] = role = "tool"
        changes["tool_call_id"] = f"call_{message.get('name')}"
    content = message.get("content")
    if content.__class__ is str:
        pass
    elif content:
        parts = _parts(content, who)
        if parts is not content:
            content = changes["content"] = parts or ""
    elif role != "assistant":
        content = changes["content"] = ""
    elif content is not None:
        content = changes["content"] = None
    if role == "assistant":
        _clean_answer(message, content, changes, who)
    for key in message.keys() - {"role", "content", "tool_calls", "tool_call_id"}:
        if not _keeps(key, message, who, last):
            changes[key] = None
    if not changes:
        return message
    dropped = {key for key, value in changes.items() if value is None and key != "content"}
    return {key: value for key, value in {**message, **changes}.items() if key not in dropped}


def _keeps(key: str, message: Mapping[str, Any], who: Reader, last: bool) -> bool:
    dialect = who.dialect
    if key in dialect.reasoning:
        return key in ("reasoning_content", "reasoning") or _signed_for(message, who)
    if key == dialect.mark:
        closes = last and message["role"] == "assistant"
        return closes and who.prefill and not (message.get("tool_calls") or message.get("function_call"))
    if key in _CACHE_MARKS:
        return _keeps_mark(key, who)
    if dialect.keys is not None:
        return key in dialect.keys
    return key not in _FOREIGN and (dialect.native or key != "function_call")


def _keeps_mark(key: str, who: Reader) -> bool:
    return who.cache_control if key == "cache_control" else who.dialect.native


def _signed_for(message: Mapping[str, Any], who: Reader) -> bool:
    """Whether signatures on the message are valid at the reader: by what their vendor leaves behind."""
    signer = _signer(message)
    return signer == who.maker or signer == ""


def _signer(message: Mapping[str, Any]) -> str:
    fields = message.get("provider_specific_fields") or {}
    if message.get("extra_content") or "thought_signature" in fields or "thought_signatures" in fields:
        return "google"
    for call in message.get("tool_calls") or ():
        if SIGNED_ID in str(call.get("id")) or call.get("extra_content") or _is_signed(call):
            return "google"
    for detail in message.get("reasoning_details") or ():
        written = str(detail.get("format")) if isinstance(detail, Mapping) else ""
        for maker, sign in _SIGNERS:
            if sign in written:
                return maker
    return "anthropic" if message.get("thinking_blocks") else ""


def _is_signed(call: Any) -> bool:
    """Whether litellm put a thought signature of Gemini's on the call, or on the function in it."""
    return isinstance(call, Mapping) and "thought_signature" in (call.get("provider_specific_fields") or ())


def _clean_answer(message: Mapping[str, Any], content: Any, changes: dict[str, Any], who: Reader) -> None:
    """An assistant's message: its calls, and what it said outside of `content`."""
    dialect = who.dialect
    said = message.get("refusal")
    if said and not dialect.native:
        content = changes["content"] = joined(content, str(said))
    audio = message.get("audio")
    if isinstance(audio, Mapping) and audio.get("transcript") and not dialect.native:
        content = changes["content"] = joined(content, str(audio["transcript"]))
    calls = message.get("tool_calls")
    old = message.get("function_call")
    if not calls and old and not dialect.native:
        made = {"id": f"call_{old.get('name')}", "type": "function", "function": old}
        calls = changes["tool_calls"] = [_call(made, who, first=True)]
    elif calls:
        cleaned = [_call(call, who, first=n == 0) for n, call in enumerate(calls)]
        if any(a is not b for a, b in zip(cleaned, calls, strict=True)):
            changes["tool_calls"] = cleaned
    elif "tool_calls" in message:
        changes["tool_calls"] = None
    if content is None and not calls and not (dialect.native and (said or audio or old)):
        changes["content"] = ""
    if dialect.wants_reasoning and not message.get("reasoning_content"):
        changes["reasoning_content"] = message.get("reasoning") or " "


def _call(call: Mapping[str, Any], who: Reader, *, first: bool) -> Mapping[str, Any]:
    """A tool call without signatures that the reader cannot check, and with the one it asks for."""
    dialect, ours = who.dialect, who.maker == "google"
    out = dict(call)
    for key in call.keys() - _CALL_KEYS:
        if key in ("provider_specific_fields", "extra_content"):
            kept = key in dialect.reasoning and (ours or not _is_signed(call))
        else:
            kept = dialect.keys is None and (key not in _CACHE_MARKS or _keeps_mark(key, who))
        if not kept:
            del out[key]
    function = call.get("function")
    if isinstance(function, Mapping):
        if "provider_specific_fields" in function and not (ours and "provider_specific_fields" in dialect.reasoning):
            function = {key: value for key, value in function.items() if key != "provider_specific_fields"}
        if dialect.wants_objects and not _is_object(function.get("arguments")):
            function = {
                **function,
                "arguments": json.dumps({"invalid_arguments": function["arguments"]}, ensure_ascii=False),
            }
        out["function"] = function
    if who.signs_calls and first and not (call.get("extra_content") or {}).get("google"):
        signature = str(call.get("id")).partition(SIGNED_ID)[2] or _NO_SIGNATURE
        out["extra_content"] = {"google": {"thought_signature": signature}}
    same = len(out) == len(call) and all(out[key] is call.get(key) for key in out)
    return call if same else out


def _is_object(arguments: Any) -> bool:
    """Whether the arguments are a JSON object, or none at all: half a call may be in the history of an outage."""
    if not arguments or arguments == "{}" or not isinstance(arguments, str):
        return True
    try:
        return isinstance(json.loads(arguments), dict)
    except ValueError:
        return False


def _parts(parts: Sequence[Any], who: Reader) -> Sequence[Any]:
    out = [part if not isinstance(part, Mapping) else _part(part, who) for part in parts]
    if all(a is b for a, b in zip(out, parts, strict=True)):
        return parts
    return [part for part in out if part is not None]


def _part(part: Mapping[str, Any], who: Reader) -> Mapping[str, Any] | None:
    """The part as the reader takes it, or None where it takes nothing of it and nothing was said."""
    kind = part.get("type")
    if kind == "text":
        if not who.dialect.blank and not str(part.get("text") or "").strip():
            return None
    elif kind in _PART_NEEDS:
        need, what = _PART_NEEDS[kind]
        if need in who.left_out:
            return {"type": "text", "text": f"[{what} was left out here: it cannot be read by this model.]"}
    elif kind in _THINKING:
        maker = "mistral" if isinstance(part.get("thinking"), list) else "anthropic"
        if not (who.reasons and who.maker == maker):
            return None
    elif kind == "refusal" and not who.dialect.native:
        return {"type": "text", "text": str(part.get("refusal") or "")}
    return _unmarked(part, who)
