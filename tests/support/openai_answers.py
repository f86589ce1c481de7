"""What the loopback server says: pure functions from a request's body to a Chat Completions response."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

Fault = Literal["reset", "hang", "cut", "stall", "drip"]


@dataclass(frozen=True)
class Behaviour:
    """How to answer. Everything left alone behaves as usual.

    `text`, `tool_calls`, `message` make the answer; `text` may be a function of the request's body.
    `body` (with `status`, `headers`) replaces the whole response; `events` replaces a stream's events:
    a dict or str becomes one ``data:`` event, bytes travel as they are.

    Faults: "reset" (TCP reset before a byte), "hang" (never answers), "cut" (the connection closes in
    the middle), "stall" (silence in the middle, connection open), "drip" (a byte per `chunk_delay_s`).
    In streams "cut" and "stall" come after `after` events; None means half of them and all of them.
    """

    text: str | Callable[[dict[str, Any]], str] | None = None
    tool_calls: list[dict[str, Any]] | None = None
    message: dict[str, Any] | None = None
    finish_reason: str | None = None
    usage: dict[str, Any] | None = None
    cached_tokens: int = 0
    served_model: str | None = None
    status: int = 200
    body: dict[str, Any] | str | bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    events: list[dict[str, Any] | str | bytes] | None = None
    delay_s: float = 0.0
    chunk_delay_s: float = 0.0
    fault: Fault | None = None
    after: int | None = None


def as_bytes(content: dict[str, Any] | str | bytes) -> bytes:
    if isinstance(content, dict):
        content = json.dumps(content, ensure_ascii=False)
    return content.encode() if isinstance(content, str) else content


def chat_answer(body: dict[str, Any], behaviour: Behaviour) -> dict[str, Any]:
    """The whole Chat Completions response."""
    messages = body.get("messages") or []
    text = behaviour.text(body) if callable(behaviour.text) else behaviour.text
    if behaviour.message is not None:
        message = behaviour.message
    elif behaviour.tool_calls is not None:
        message = {"role": "assistant", "content": text, "tool_calls": behaviour.tool_calls}
    elif text is not None:
        message = {"role": "assistant", "content": text}
    else:
        message = sensible_message(body, messages)
    reason = behaviour.finish_reason or ("tool_calls" if message.get("tool_calls") else "stop")
    content = message.get("content")
    if isinstance(content, str):
        stops = body.get("stop") or []
        for stop in [stops] if isinstance(stops, str) else stops:
            content = content.partition(stop)[0]
        message = {**message, "content": content}
    choice: dict[str, Any] = {"index": 0, "message": message, "finish_reason": reason}
    if body.get("logprobs"):
        tokens = [{"token": t, "logprob": -0.1, "bytes": None, "top_logprobs": []} for t in pieces_of(content or "")]
        choice["logprobs"] = {"content": tokens, "refusal": None}
    prompt, completion = sum(len(text_of(m).split()) + 3 for m in messages), len(json.dumps(message)) // 4
    usage = behaviour.usage or {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": min(prompt, behaviour.cached_tokens), "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }
    return {
        "id": "chatcmpl-test",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": behaviour.served_model or body.get("model"),
        "choices": [choice],
        "usage": usage,
    }


def stream_events(body: dict[str, Any], whole: dict[str, Any]) -> list[dict[str, Any] | str | bytes]:
    """The same response in pieces: role, words or argument pieces, the finish reason, usage, [DONE]."""
    choice = whole["choices"][0]
    message = choice["message"]
    rest = {key: value for key, value in message.items() if key not in ("content", "tool_calls")}
    deltas: list[dict[str, Any]] = [{**rest, "content": ""}]
    deltas += [{"content": piece} for piece in pieces_of(message.get("content") or "")]
    for index, call in enumerate(message.get("tool_calls") or []):
        function = call["function"]
        deltas.append({"tool_calls": [{**call, "index": index, "function": {**function, "arguments": ""}}]})
        for start in range(0, len(function["arguments"]), 8):
            piece = {"arguments": function["arguments"][start : start + 8]}
            deltas.append({"tool_calls": [{"index": index, "function": piece}]})
    wants_usage = bool((body.get("stream_options") or {}).get("include_usage"))
    frame = {key: whole[key] for key in ("id", "created", "model")} | {"object": "chat.completion.chunk"}
    tokens = iter((choice.get("logprobs") or {}).get("content") or [])
    events: list[dict[str, Any] | str | bytes] = []
    for delta in deltas:
        part = {"index": 0, "delta": delta, "finish_reason": None}
        if delta.get("content") and (token := next(tokens, None)):
            part["logprobs"] = {"content": [token], "refusal": None}
        events.append({**frame, "choices": [part]} | ({"usage": None} if wants_usage else {}))
    events.append({**frame, "choices": [{"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}]})
    if wants_usage:
        events.append({**frame, "choices": [], "usage": whole["usage"]})
    return [*events, "[DONE]"]


def embeddings_answer(body: dict[str, Any], behaviour: Behaviour) -> dict[str, Any]:
    """Eight numbers per text, the same for the same text."""
    texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
    vectors = [[byte / 255 for byte in hashlib.sha256(text.encode()).digest()[:8]] for text in texts]
    tokens = sum(len(text.split()) for text in texts)
    return {
        "object": "list",
        "model": behaviour.served_model or body.get("model"),
        "data": [{"object": "embedding", "index": i, "embedding": vector} for i, vector in enumerate(vectors)],
        "usage": behaviour.usage or {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def sensible_message(body: dict[str, Any], messages: list[dict[str, Any]]) -> dict[str, Any]:
    """What a polite small model would say."""
    last = messages[-1] if messages else {}
    asked = next((text_of(m) for m in reversed(messages) if m.get("role") == "user"), "")
    tool = chosen_tool(body, messages, asked)
    if tool is not None:
        arguments = fill(tool.get("parameters") or {}, asked)
        call = {"name": tool["name"], "arguments": json.dumps(arguments, ensure_ascii=False)}
        call_id = f"call_{hashlib.sha256(json.dumps([call, len(messages)]).encode()).hexdigest()[:12]}"
        return {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": call_id, "type": "function", "function": call}],
        }
    wanted = body.get("response_format") or {}
    if wanted.get("type") == "json_schema":
        text = json.dumps(fill(wanted["json_schema"].get("schema") or {}, asked), ensure_ascii=False)
    elif wanted.get("type") == "json_object":
        keys = re.findall(r"[\"'`](\w+)[\"'`]", asked) or re.findall(r'"(\w+)":', str(messages)) or ["answer"]
        text = json.dumps(dict.fromkeys(keys, asked), ensure_ascii=False)
    elif last.get("role") == "tool":
        text = f"The tool says: {text_of(last)}"
    else:
        text = f"You said: {asked}"
    return {"role": "assistant", "content": text}


def chosen_tool(body: dict[str, Any], messages: list[dict[str, Any]], asked: str) -> dict[str, Any] | None:
    """The function to call: the one that is demanded, or one that the last user message is about."""
    tools = [tool["function"] for tool in body.get("tools") or [] if tool.get("type", "function") == "function"]
    choice = body.get("tool_choice", "auto")
    if not tools or choice == "none":
        return None
    if isinstance(choice, dict):
        return next((tool for tool in tools if tool["name"] == choice["function"]["name"]), tools[0])
    since_user = []
    for message in reversed(messages):
        if message.get("role") == "user":
            break
        since_user += [call["function"]["name"] for call in message.get("tool_calls") or []]
    left = [tool for tool in tools if tool["name"] not in since_user] or tools
    about = [tool for tool in left if tool["name"] in asked] or [tool for tool in left if fits(tool, asked)]
    if choice in ("required", "any"):
        return (about or left)[0]
    return about[0] if about and messages[-1].get("role") == "user" else None


def fits(tool: dict[str, Any], asked: str) -> bool:
    """Whether a word of the tool's name ("weather" of get_weather) occurs in the question."""
    return any(word in asked.lower() for word in re.split(r"\W|_", tool["name"].lower()) if len(word) > 3)


def fill(schema: dict[str, Any], asked: str) -> Any:
    """A value that fits a JSON schema, with what the question offers: its numbers and quoted names in order."""
    numbers = iter(re.findall(r"-?\d+(?:\.\d+)?", asked))
    quoted = iter(re.findall(r"['\"“「]([^'\"”」]+)['\"”」]", asked))

    def value(part: dict[str, Any]) -> Any:
        if "$ref" in part:
            target: Any = schema
            for key in part["$ref"].removeprefix("#/").split("/"):
                target = target[key]
            return value(target)
        for key in ("anyOf", "oneOf", "allOf"):
            if part.get(key):
                return value(next((p for p in part[key] if p.get("type") != "null"), part[key][0]))
        if "const" in part:
            return part["const"]
        if "enum" in part:
            return next((option for option in part["enum"] if str(option) in asked), part["enum"][0])
        kind = part.get("type", "object" if "properties" in part else "string")
        kind = next((k for k in kind if k != "null"), "null") if isinstance(kind, list) else kind
        if kind == "object":
            return {name: value(inner) for name, inner in (part.get("properties") or {}).items()}
        if kind == "array":
            return [value(part.get("items") or {}) for _ in range(part.get("minItems", 1))]
        if kind in ("integer", "number"):
            number = float(next(numbers, part.get("minimum", 1)))
            return int(number) if kind == "integer" else number
        if kind in ("boolean", "null"):
            return True if kind == "boolean" else None
        return next(quoted, asked)

    return value({"type": "object"} | schema)


def text_of(message: dict[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, list):
        return " ".join(part.get("text") or "" for part in content if isinstance(part, dict))
    return content or ""


def pieces_of(text: str) -> list[str]:
    """Words with the space after them."""
    return re.findall(r"\S+\s*|\s+", text)
