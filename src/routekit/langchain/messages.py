"""LangChain messages to Chat Completions dictionaries and back, with nothing lost on the way.

Pure functions. What Chat Completions cannot say (a tool message's artifact or status) stays in
LangChain; what LangChain has no field for (reasoning, refusals, a provider's own keys on a message or a
tool call) rides in `additional_kwargs` and is put back when the message is sent again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.messages.ai import InputTokenDetails, OutputTokenDetails, UsageMetadata

from routekit.errors import InvalidInputError
from routekit.langchain.content_blocks import parts_of
from routekit.langchain.tool_calls import _CALL_BLOCKS, RAW_CALLS, _beyond, _call_chunk, _calls, _parsed
from routekit.types import Usage

MODEL_PROVIDER = "routekit"
"""`response_metadata["model_provider"]`. No block translator of langchain-core has this name, so that its
best-effort reading applies, which finds reasoning as well as text and tool calls."""


STREAMED = frozenset({"role", "content", "tool_calls", "reasoning_content", "reasoning", "refusal"})
"""Keys of a delta that are handed over piece by piece; the last chunk brings the others whole."""

_KNOWN = frozenset({"role", "content", "name", "tool_calls"})
_ELSEWHERE_MADE = (
    "refusal", "reasoning_content", "reasoning", "reasoning_details", "thinking_blocks", "audio", "function_call",
    "cache_control",
)  # fmt: skip
_DEVELOPER_KEY = "__openai_role__"  # langchain-core's own mark for the role "developer"


def to_dicts(messages: Iterable[BaseMessage]) -> list[dict[str, Any]]:
    """Messages as Chat Completions dictionaries.

    One message may become several: a human message that carries Anthropic tool results is split into
    tool messages and the rest.

    Raises:
        InvalidInputError: a message or a content block that cannot be sent to a model.
    """
    out: list[dict[str, Any]] = []
    for message in messages:
        kind = message.__class__
        # The common case by far: a plain text. Everything else takes the long way.
        if (
            (role := _PLAIN.get(kind)) is not None
            and message.content.__class__ is str
            and not message.additional_kwargs
            and not message.name
            and not (role == "assistant" and _has_calls(message))
        ):
            out.append({"role": role, "content": message.content})
        elif isinstance(message, AIMessage):
            out.append(_assistant(message))
        elif isinstance(message, ToolMessage):
            out.append(_tool(message))
        else:
            out.extend(_other(message))
    return out


def from_dict(message: Mapping[str, Any]) -> BaseMessage:
    """A Chat Completions dictionary as a LangChain message; `to_dicts` gives the dictionary back."""
    role = message.get("role")
    if role == "assistant":
        return to_ai_message(message, response_metadata={"model_provider": MODEL_PROVIDER})
    content = message.get("content") or ""
    name = message.get("name")
    extra = {key: value for key, value in message.items() if key in _ELSEWHERE_MADE}
    if role == "user":
        return HumanMessage(content=content, name=name, additional_kwargs=extra)
    if role == "system":
        return SystemMessage(content=content, name=name, additional_kwargs=extra)
    if role == "developer":
        return SystemMessage(content=content, name=name, additional_kwargs={**extra, _DEVELOPER_KEY: "developer"})
    if role == "tool":
        call_id = message.get("tool_call_id") or ""
        return ToolMessage(content=content, tool_call_id=call_id, name=name, additional_kwargs=extra)
    if role == "function":
        return FunctionMessage(content=content, name=name or "", additional_kwargs=extra)
    raise InvalidInputError(f"a message has role {role!r}; use system, developer, user, assistant, tool or function")


def to_ai_message(
    message: Mapping[str, Any],
    *,
    usage: UsageMetadata | None = None,
    response_metadata: dict[str, Any] | None = None,
) -> AIMessage:
    """A provider's answer as an `AIMessage`. Arguments that are no JSON object make invalid tool calls."""
    content = message.get("content")
    if len(message) == 2 and content.__class__ is str:
        return AIMessage(content=content, usage_metadata=usage, response_metadata=response_metadata or {})
    extra = extras_of(message)
    valid: list[Any] = []
    invalid: list[Any] = []
    for call in message.get("tool_calls") or ():
        parsed = _parsed(call)
        (valid if parsed.get("type") == "tool_call" else invalid).append(parsed)
    if valid and invalid and RAW_CALLS not in extra:  # LangChain keeps them apart: their order is kept here
        extra[RAW_CALLS] = {call.get("id"): {} for call in message.get("tool_calls") or () if call.get("id")}
    return AIMessage(
        content=content or "",
        name=message.get("name"),
        additional_kwargs=extra,
        tool_calls=valid,
        invalid_tool_calls=invalid,
        usage_metadata=usage,
        response_metadata=response_metadata or {},
    )


def extras_of(message: Mapping[str, Any]) -> dict[str, Any]:
    """What an assistant message holds beyond text and tool calls, for `additional_kwargs`."""
    extra = {key: value for key, value in message.items() if key not in _KNOWN and value is not None}
    if isinstance(reasoning := extra.get("reasoning"), str):
        # Where `AIMessage.content_blocks` looks for it.
        extra.setdefault("reasoning_content", reasoning)
    calls = message.get("tool_calls") or ()
    raw = {call.get("id"): kept for call in calls if (kept := _beyond(call)) and call.get("id")}
    if raw and len(calls) > 1:  # all of them, so that their order survives
        raw = {call.get("id"): _beyond(call) for call in calls if call.get("id")}
    if raw:
        extra[RAW_CALLS] = raw
    return extra


def to_chunk(delta: Mapping[str, Any]) -> AIMessageChunk | None:
    """One delta as a message chunk, or None where it brings nothing to read."""
    content = delta.get("content")
    if len(delta) <= 2 and content and content.__class__ is str and not delta.get("tool_calls"):
        return AIMessageChunk(content=content)
    extra: dict[str, Any] = {}
    if refusal := delta.get("refusal"):
        extra["refusal"] = refusal
    if isinstance(reasoning := delta.get("reasoning"), str) and reasoning:
        extra["reasoning"] = extra["reasoning_content"] = reasoning
    if reasoning := delta.get("reasoning_content"):
        extra["reasoning_content"] = reasoning
    calls = [
        _call_chunk(place, call) for place, call in enumerate(delta.get("tool_calls") or ()) if "custom" not in call
    ]
    if not (content or extra or calls):
        return None
    return AIMessageChunk(content=content or "", additional_kwargs=extra, tool_call_chunks=calls)


def usage_metadata(usage: Usage) -> UsageMetadata:
    """Token counts as LangChain's `UsageMetadata`; both count inclusively."""
    return UsageMetadata(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        total_tokens=usage.input_tokens + usage.output_tokens,
        input_token_details=InputTokenDetails(
            cache_read=usage.cache_read_tokens, cache_creation=usage.cache_write_tokens
        ),
        output_token_details=OutputTokenDetails(reasoning=usage.reasoning_tokens),
    )


# LangChain -> Chat Completions

_PLAIN: dict[type[BaseMessage], str] = {HumanMessage: "user", SystemMessage: "system", AIMessage: "assistant"}


def _has_calls(message: Any) -> bool:
    return bool(message.tool_calls or message.invalid_tool_calls)


def _other(message: BaseMessage) -> list[dict[str, Any]]:
    if isinstance(message, HumanMessage):
        return _user(message)
    if isinstance(message, SystemMessage):
        role = str(message.additional_kwargs.get(_DEVELOPER_KEY, "system"))
    elif isinstance(message, FunctionMessage):
        role = "function"
    elif isinstance(message, ChatMessage):
        role = message.role
    else:
        raise InvalidInputError(
            f"a {type(message).__name__} cannot be sent to a model; leave it out of the messages of the call"
        )
    return [_with_extras({"role": role, "content": _content(message.content)}, message)]


def _with_extras(out: dict[str, Any], message: BaseMessage) -> dict[str, Any]:
    name = message.name or message.additional_kwargs.get("name")
    if name:
        out["name"] = name
    if "cache_control" in message.additional_kwargs:
        out["cache_control"] = message.additional_kwargs["cache_control"]
    return out


def _content(content: Any) -> Any:
    if content.__class__ is str:
        return content
    return parts_of(content)


def _user(message: HumanMessage) -> list[dict[str, Any]]:
    content = message.content
    if isinstance(content, str):
        return [_with_extras({"role": "user", "content": content}, message)]
    results = [block for block in content if isinstance(block, dict) and block.get("type") == "tool_result"]
    rest = [block for block in content if block not in results] if results else content
    out = [
        {"role": "tool", "tool_call_id": block.get("tool_use_id", ""), "content": _content(block.get("content") or "")}
        for block in results
    ]
    if rest or not out:
        out.append(_with_extras({"role": "user", "content": parts_of(rest)}, message))
    return out


def _tool(message: ToolMessage) -> dict[str, Any]:
    out = {"role": "tool", "tool_call_id": message.tool_call_id, "content": _content(message.content)}
    return _with_extras(out, message)


def _assistant(message: AIMessage) -> dict[str, Any]:
    out: dict[str, Any] = {"role": "assistant"}
    kwargs = message.additional_kwargs
    content = message.content
    thinking: dict[str, Any] = {}
    if isinstance(content, str):
        out["content"] = content
    else:
        said, thinking = _split(content)
        parts = parts_of(said)
        v1 = message.response_metadata.get("output_version") == "v1"
        # Many servers take texts only from an assistant: where blocks were taken out, no list is left of texts.
        if (v1 or len(said) != len(content)) and all(set(part) <= {"type", "text"} for part in parts):
            out["content"] = "".join(part.get("text", "") for part in parts)
        else:
            out["content"] = parts
    if name := message.name or kwargs.get("name"):
        out["name"] = name
    if _has_calls(message):
        out["tool_calls"] = _calls(message)
    elif kwargs.get("tool_calls"):
        out["tool_calls"] = [
            {key: call[key] for key in ("id", "type", "function") if key in call} for call in kwargs["tool_calls"]
        ]
    out.update(thinking)
    if kwargs:
        out.update(_sent_again(message))
        if out.get("tool_calls") and "function_call" in out:
            del out["function_call"]  # a message with both is refused
    if not out["content"] and (out.get("tool_calls") or out.get("function_call") or out.get("audio")):
        out["content"] = None
    return out


def _sent_again(message: AIMessage) -> dict[str, Any]:
    """The extras of an answer. Our own go back whole, another integration's as far as the wire has a name for them."""
    kwargs = message.additional_kwargs
    ours = message.response_metadata.get("model_provider") == MODEL_PROVIDER
    keys = [key for key in kwargs if key not in (RAW_CALLS, "tool_calls", "name")] if ours else _ELSEWHERE_MADE
    out = {key: kwargs[key] for key in keys if key in kwargs}
    if "reasoning" in out and out.get("reasoning_content") == out["reasoning"]:
        del out["reasoning_content"]  # set by `extras_of`, or twice the same
    audio = out.get("audio")
    if isinstance(audio, Mapping) and audio.get("id"):
        out["audio"] = {"id": audio["id"]}  # the wire takes a reference, not the sound
    return out


def _split(content: Sequence[Any]) -> tuple[list[Any], dict[str, Any]]:
    """An assistant's blocks without those that have a field of their own; and the thinking among them."""
    said: list[Any] = []
    reasoning: list[str] = []
    signed: list[dict[str, Any]] = []
    audio: dict[str, Any] | None = None
    for block in content:
        kind = block.get("type") if isinstance(block, dict) else "text"
        if kind in _CALL_BLOCKS:
            continue
        if kind == "reasoning":
            reasoning.append(_reasoning_text(block))
        elif kind in ("thinking", "redacted_thinking"):
            if isinstance(text := block.get("thinking"), str):
                reasoning.append(text)
            if block.get("signature") or kind == "redacted_thinking":
                signed.append({key: value for key, value in block.items() if key != "index"})
        elif kind == "audio" and block.get("id"):
            audio = {"id": block["id"]}
        else:
            said.append(block)
    found: dict[str, Any] = {}
    if text := "".join(reasoning):
        found["reasoning_content"] = text
    if signed:
        found["thinking_blocks"] = signed
    if audio:
        found["audio"] = audio
    return said, found


def _reasoning_text(block: Mapping[str, Any]) -> str:
    if text := block.get("reasoning") or block.get("text"):
        return str(text)
    return "\n".join(item.get("text", "") for item in block.get("summary") or () if isinstance(item, dict))


# Chat Completions -> LangChain
