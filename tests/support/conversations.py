"""Conversations for property tests: plausible histories with tools, several users in a row, systems in the middle."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from routekit.types import RouteRequest

TEXT = st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=60)


@st.composite
def conversations(draw: st.DrawFn) -> RouteRequest:
    """A request whose tool results each follow their call, at once or after another user message."""
    messages: list[dict[str, Any]] = []
    calls = 0
    for _ in range(draw(st.integers(0, 2))):
        messages.append({"role": draw(st.sampled_from(["system", "developer"])), "content": draw(TEXT)})
    for _ in range(draw(st.integers(1, 6))):
        messages.append({"role": "user", "content": draw(TEXT)})
        owed: list[str] = []
        for _ in range(draw(st.integers(0, 3))):
            kind = draw(st.sampled_from(["answer", "tools", "late tools", "system", "user"]))
            if kind == "answer":
                messages.append({"role": "assistant", "content": draw(TEXT)})
            elif kind == "system":
                messages.append({"role": "system", "content": draw(TEXT)})
            elif kind == "user":
                messages.append({"role": "user", "content": [{"type": "text", "text": draw(TEXT)}]})
            else:
                ids = [f"call_{calls + i}" for i in range(draw(st.integers(1, 3)))]
                calls += len(ids)
                made = [{"id": i, "type": "function", "function": {"name": "f", "arguments": "{}"}} for i in ids]
                messages.append({"role": "assistant", "content": None, "tool_calls": made})
                if kind == "late tools":
                    owed.extend(ids)
                else:
                    messages.extend({"role": "tool", "tool_call_id": i, "content": draw(TEXT)} for i in ids)
        if owed and draw(st.booleans()):
            messages.append({"role": "user", "content": "by the way"})
        messages.extend({"role": "tool", "tool_call_id": i, "content": draw(TEXT)} for i in owed)
    return RouteRequest(messages=tuple(messages))  # type: ignore[arg-type]


def calls_and_results(request: RouteRequest) -> tuple[set[str], set[str]]:
    """The ids of the tool calls and of the tool results in a request."""
    calls = {call["id"] for message in request.messages for call in message.get("tool_calls") or ()}
    results = {message["tool_call_id"] for message in request.messages if message["role"] == "tool"}
    return calls, results
