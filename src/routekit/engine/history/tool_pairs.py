"""Pure: tool calls and their results, each beside the other, under ids that the reader takes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

from routekit.engine.history.dialect import Reader

SIGNED_ID = "__thought__"
"""What litellm puts between the id of one of Gemini's calls and its signature."""

NO_RESULT = "No result is available for this tool call."
"""The result of a call that has none: cancelled, or cut off by a summary."""
SHOWN = "[From the tool results above]"
SHOWN_BELOW = "[The result follows below.]"


def is_paired(messages: Sequence[Any], who: Reader) -> bool:
    """Whether there is nothing for `paired` to do; most often there is not."""
    used: set[Any] = set()
    waiting: set[Any] = set()
    legal = who.dialect.ids.fullmatch
    for message in messages:
        if message["role"] == "tool":
            name = message.get("tool_call_id")
            if name not in waiting or (who.dialect.text_results and message["content"].__class__ is not str):
                return False
            waiting.discard(name)
        elif waiting:
            return False
        elif calls := message.get("tool_calls"):
            for call in calls:
                name = call.get("id")
                if name.__class__ is not str or name in used or not legal(name):
                    return False
                if SIGNED_ID in name and who.maker != "google":
                    return False
                used.add(name)
                waiting.add(name)
    return not waiting


def paired(messages: Sequence[Any], who: Reader) -> list[Any]:
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
                out.append(told(message))
            continue
        calls = message.get("tool_calls")
        if not calls:
            out.append(message)
            continue
        ids = [names.of(call.get("id")) for call in calls]
        out.append(_with_ids(message, ids))
        shown: list[Any] = []
        for result in results.get(at, ()):
            given, name = messages[result], ids[answers[result][1]]
            given = given if given.get("tool_call_id") == name else {**given, "tool_call_id": name}
            out.append(_only_texts(given, shown) if who.dialect.text_results else given)
        answered = {answers[result][1] for result in results.get(at, ())}
        out += [
            {"role": "tool", "tool_call_id": name, "content": NO_RESULT}
            for n, name in enumerate(ids)
            if n not in answered
        ]
        if shown:
            out.append({"role": "user", "content": [{"type": "text", "text": SHOWN}, *shown]})
    return out


def _only_texts(message: Mapping[str, Any], shown: list[Any]) -> Mapping[str, Any]:
    """The result with its texts; what else is in it goes to `shown`."""
    content = message["content"]
    if not _is_list(content):
        return message
    texts = [part for part in content if not isinstance(part, Mapping) or part.get("type") == "text"]
    if len(texts) == len(content):
        return message
    shown += [part for part in content if isinstance(part, Mapping) and part.get("type") != "text"]
    return {**message, "content": texts or SHOWN_BELOW}


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
        base, mark, signature = text.partition(SIGNED_ID)
        rest = mark + signature if self._signed else ""
        name = base + rest
        n = 0
        while name in self._used or not base or not self._legal.fullmatch(name):
            digest = hashlib.sha256(f"{n}:{text}".encode("utf-8", "surrogatepass")).hexdigest()
            base = digest[:9] if self._short else f"call_{digest[:24]}"
            name, n = base + rest, n + 1
        self._used.add(name)
        return name


def told(message: Mapping[str, Any]) -> Mapping[str, Any]:
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
    return {**out, "content": joined(message.get("content"), "\n".join(lines))}


def _line(call: Mapping[str, Any]) -> str:
    function = call.get("function") or call.get("custom") or {}
    return f"[Called the tool {function.get('name')} with {function.get('arguments') or function.get('input') or ''}]"


def joined(content: Any, text: str) -> Any:
    if _is_list(content):
        return [*content, {"type": "text", "text": text}] if text else list(content)
    return f"{content}\n{text}" if content else text


def _is_list(content: Any) -> TypeGuard[Sequence[Any]]:
    return isinstance(content, (list, tuple))
