"""Tool calls of a message, whole and in pieces."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any

from langchain_core.messages import (
    AIMessage,
)
from langchain_core.messages.tool import ToolCallChunk, invalid_tool_call, tool_call, tool_call_chunk

RAW_CALLS = "routekit_tool_calls"
"""`additional_kwargs` key: what a tool call carries beyond name, arguments and id, by id."""


_CALL_BLOCKS = frozenset(
    {"tool_call", "tool_call_chunk", "invalid_tool_call", "tool_use", "input_json_delta", "function_call",
     "server_tool_call", "server_tool_call_chunk", "server_tool_result"}
)  # fmt: skip
"""Blocks that repeat `tool_calls`, or tell of tools that a provider ran itself."""


def _calls(message: AIMessage) -> list[dict[str, Any]]:
    raw: Mapping[str, Any] = message.additional_kwargs.get(RAW_CALLS) or {}
    calls = [_call(call, raw.get(call.get("id") or "")) for call in message.tool_calls]
    for bad in message.invalid_tool_calls:
        function = {"name": bad.get("name") or "", "arguments": bad.get("args") or ""}
        known = _others(raw.get(bad.get("id") or ""))
        calls.append({"id": bad.get("id"), "type": "function", "function": function, **known})
    if raw and len(calls) > 1:
        order = {call_id: place for place, call_id in enumerate(raw)}
        calls.sort(key=lambda call: order.get(call["id"], len(order)))
    return calls


def _call(call: Any, raw: Mapping[str, Any] | None) -> dict[str, Any]:
    name, args, call_id = call["name"], call["args"], call.get("id")
    if raw and raw.get("type") == "custom":
        return {"id": call_id, **_others(raw), "custom": {"name": name, "input": args.get("input", "")}}
    arguments = _dumps(args)
    if raw and (given := raw.get("arguments")) is not None and _dumps(_loads(given)) == arguments:
        arguments = given  # letter for letter, so that a provider's prompt cache still matches
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}, **_others(raw)}


def _others(raw: Mapping[str, Any] | None) -> dict[str, Any]:
    return {key: value for key, value in raw.items() if key != "arguments"} if raw else {}


def _parsed(call: Mapping[str, Any]) -> Mapping[str, Any]:
    call_id = call.get("id") or f"call_{uuid.uuid4().hex[:24]}"
    if call.get("type") == "custom":
        custom = call.get("custom") or {}
        return tool_call(name=custom.get("name") or "", args={"input": custom.get("input") or ""}, id=call_id)
    function = call.get("function") or {}
    name, arguments = function.get("name") or "", function.get("arguments")
    if isinstance(arguments, Mapping):  # some servers send an object
        return tool_call(name=name, args=dict(arguments), id=call_id)
    args = {} if not arguments else _loads(arguments)
    if isinstance(args, dict):
        return tool_call(name=name, args=args, id=call_id)
    return invalid_tool_call(
        name=name, args=arguments, id=call_id, error=f"the arguments of {name or 'a tool'} are no JSON object"
    )


def _beyond(call: Mapping[str, Any]) -> dict[str, Any]:
    """What of a tool call name, arguments and id would not bring back."""
    kept = {
        key: value
        for key, value in call.items()
        if key not in ("id", "function", "custom", "index") and not (key == "type" and value == "function")
    }
    arguments = (call.get("function") or {}).get("arguments")
    if isinstance(arguments, str) and (args := _loads(arguments)) != _UNREADABLE and _dumps(args) != arguments:
        kept["arguments"] = arguments
    return kept


def custom_calls(message: Mapping[str, Any]) -> list[ToolCallChunk]:
    """The calls of tools that take free text, whole: their text in pieces would be no JSON, as `args` must be."""
    return [
        tool_call_chunk(name=parsed["name"], args=_dumps(parsed["args"]), id=parsed["id"], index=place)
        for place, call in enumerate(message.get("tool_calls") or ())
        if call.get("type") == "custom" and (parsed := _parsed(call))
    ]


def _call_chunk(place: int, call: Mapping[str, Any]) -> ToolCallChunk:
    function = call.get("function") or {}
    index, args = call.get("index"), function.get("arguments")
    return tool_call_chunk(
        name=function.get("name") or None,
        args=args if args is None or isinstance(args, str) else _dumps(args),
        id=call.get("id") or None,
        index=place if index is None else index,
    )


_UNREADABLE = object()


def _loads(text: str) -> Any:
    try:
        return json.loads(text, strict=False)
    except (ValueError, TypeError):
        return _UNREADABLE


def _dumps(value: Any) -> str:
    # As compact as the models themselves write it, so that few arguments need a copy of their own.
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
