"""Pure: a message history repaired for its next reader.

A conversation that went through several vendors carries what only one of them takes: thought
signatures, cache marks, ids of another shape, an answer to go on with. Here, and only here, that is
made readable for the deployment that is asked next; what it understands is in `dialect`.

Nothing that was said is lost: every text, every tool call and every result stays, in order, a result
straight behind its call. Ids are made from the old ones alone, so that the beginning of a growing
history stays the same, and with it the vendor's prompt cache.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard, cast

from routekit.engine.dialect import Reader, reader_of
from routekit.engine.turns import in_turns, without_blanks
from routekit.types import Deployment, Message

NO_RESULT = "No result is available for this tool call."
"""The result of a call that has none: cancelled, or cut off by a summary."""

_SIGNED_ID = "__thought__"
_NO_SIGNATURE = "skip_thought_signature_validator"
_PLAIN_ROLES = frozenset({"system", "user", "assistant"})
_FOREIGN = frozenset(
    {"reasoning_content", "reasoning", "reasoning_details", "thinking_blocks", "provider_specific_fields",
     "extra_content", "annotations", "citations", "images", "refusal", "audio", "prefix", "partial"}
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
        if who.tools and (tools or not dialect.wants_tools):
            out = _paired(out, who)
        else:
            out = [_told(message) for message in out]
    out = in_turns(out if dialect.blank else without_blanks(out), who)
    if len(out) == len(messages) and all(a is b for a, b in zip(out, messages, strict=True)):
        return cast("tuple[Message, ...]", messages)
    return tuple(out)


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
        return last and who.prefill and message["role"] == "assistant" and not message.get("tool_calls")
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
        if _SIGNED_ID in str(call.get("id")) or call.get("extra_content") or _is_signed(call):
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
        content = changes["content"] = _joined(content, str(said))
    audio = message.get("audio")
    if isinstance(audio, Mapping) and audio.get("transcript") and not dialect.native:
        content = changes["content"] = _joined(content, str(audio["transcript"]))
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
    ours = who.maker == "google"
    drop = {key for key in call if key in _CACHE_MARKS and not _keeps_mark(key, who)}
    for key in ("provider_specific_fields", "extra_content"):
        if key in call and (key not in who.dialect.reasoning or (not ours and _is_signed(call))):
            drop.add(key)
    if who.dialect.keys is not None:
        drop.update(key for key in call if key not in ("id", "type", "function", "custom"))
    function = call.get("function") or {}
    signed = "provider_specific_fields" in function and not (
        ours and "provider_specific_fields" in who.dialect.reasoning
    )
    unsigned = who.signs_calls and first and not (call.get("extra_content") or {}).get("google")
    if not drop and not signed and not unsigned:
        return call
    out = {key: value for key, value in call.items() if key not in drop}
    if signed:
        out["function"] = {key: value for key, value in function.items() if key != "provider_specific_fields"}
    if unsigned:
        signature = str(call.get("id")).partition(_SIGNED_ID)[2] or _NO_SIGNATURE
        out["extra_content"] = {"google": {"thought_signature": signature}}
    return out


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
    marks = [key for key in _CACHE_MARKS if key in part and not _keeps_mark(key, who)]
    return {key: value for key, value in part.items() if key not in marks} if marks else part


def _paired(messages: Sequence[Any], who: Reader) -> list[Any]:
    """Each result straight behind its call, each call with a result, each id unique and legal."""
    waiting: dict[Any, list[tuple[int, int]]] = {}
    answers: dict[int, tuple[int, int]] = {}
    results: dict[int, list[int]] = {}
    for at, message in enumerate(messages):
        if message["role"] == "tool":
            if places := waiting.get(message.get("tool_call_id")):
                newest = places[-1][0]  # an id may come back in a later turn, and twice in one
                place = places.pop(next(n for n, (turn, _) in enumerate(places) if turn == newest))
                answers[at] = place
                results.setdefault(place[0], []).append(at)
        elif calls := message.get("tool_calls"):
            for n, call in enumerate(calls):
                waiting.setdefault(call.get("id"), []).append((at, n))
    names = _Names(who)
    out: list[Any] = []
    for at, message in enumerate(messages):
        if message["role"] == "tool":
            if at not in answers:
                out.append(_told(message))
            continue
        calls = message.get("tool_calls")
        if not calls:
            out.append(message)
            continue
        ids = [names.of(call.get("id")) for call in calls]
        out.append(_with_ids(message, ids))
        for result in results.get(at, ()):
            given, name = messages[result], ids[answers[result][1]]
            out.append(given if given.get("tool_call_id") == name else {**given, "tool_call_id": name})
        answered = {answers[result][1] for result in results.get(at, ())}
        out += [
            {"role": "tool", "tool_call_id": name, "content": NO_RESULT}
            for n, name in enumerate(ids)
            if n not in answered
        ]
    return out


def _with_ids(message: Mapping[str, Any], ids: Sequence[str]) -> Mapping[str, Any]:
    calls = message["tool_calls"]
    if all(call.get("id") == name for call, name in zip(calls, ids, strict=True)):
        return message
    return {**message, "tool_calls": [{**call, "id": name} for call, name in zip(calls, ids, strict=True)]}


class _Names:
    """Ids that the reader takes, none of them twice; a legal one that is free stays as it is."""

    def __init__(self, who: Reader) -> None:
        self._legal, self._signed = who.dialect.ids, who.maker == "google"
        self._short = not self._legal.fullmatch("call_0")
        self._used: set[str] = set()

    def of(self, given: Any) -> str:
        text = given if isinstance(given, str) else ""
        base, mark, signature = text.partition(_SIGNED_ID)
        rest = mark + signature if self._signed else ""
        name = base + rest
        n = 0
        while name in self._used or not base or not self._legal.fullmatch(name):
            digest = hashlib.sha256(f"{n}:{text}".encode("utf-8", "surrogatepass")).hexdigest()
            base = digest[:9] if self._short else f"call_{digest[:24]}"
            name, n = base + rest, n + 1
        self._used.add(name)
        return name


def _told(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """Tool calls and results as text, for who knows no tools and for a result that nobody asked for."""
    if message["role"] == "tool":
        name = message.get("name")
        title = f"[Result of the tool {name}]" if name else "[Result of a tool]"
        content = message.get("content")
        if _is_list(content):
            return {"role": "user", "content": [{"type": "text", "text": title}, *content]}
        return {"role": "user", "content": f"{title}\n{content}"}
    calls = message.get("tool_calls")
    if not calls:
        return message
    lines = [_line(call) for call in calls]
    out = {key: value for key, value in message.items() if key != "tool_calls"}
    return {**out, "content": _joined(message.get("content"), "\n".join(lines))}


def _line(call: Mapping[str, Any]) -> str:
    function = call.get("function") or call.get("custom") or {}
    return f"[Called the tool {function.get('name')} with {function.get('arguments') or function.get('input') or ''}]"


def _joined(content: Any, text: str) -> Any:
    if _is_list(content):
        return [*content, {"type": "text", "text": text}] if text else list(content)
    return f"{content}\n{text}" if content else text


def _is_list(content: Any) -> TypeGuard[Sequence[Any]]:
    return isinstance(content, (list, tuple))
