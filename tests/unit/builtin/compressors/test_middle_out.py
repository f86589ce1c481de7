from __future__ import annotations

from typing import Any

from routekit.builtin.compressors.middle_out import MiddleOut
from routekit.types import RouteRequest, count_tokens


def turns(*texts: str) -> RouteRequest:
    messages: list[Any] = [{"role": "system", "content": "Be brief."}]
    for text in texts:
        messages += [{"role": "user", "content": text}, {"role": "assistant", "content": "word " * 100}]
    return RouteRequest(messages=(*messages, {"role": "user", "content": "and now?"}))


def with_result(text: str) -> RouteRequest:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages: Any = (
        {"role": "user", "content": "look"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": text},
    )
    return RouteRequest(messages=messages)


def test_the_first_and_the_newest_turns_outlive_those_between_them() -> None:
    request = turns("one", "two", "three", "four", "five")
    found = MiddleOut().compress(request, int(count_tokens(request.messages)[0] * 0.7))
    said = [m["content"] for m in found.request.messages if m["role"] == "user"]
    assert said == ["one", "two", "five", "and now?"]
    assert found.removed == "4 messages from the middle"
    tight = MiddleOut().compress(request, 1).request
    assert [m["content"] for m in tight.messages if m["role"] == "user"] == ["one", "and now?"]


def test_then_the_middle_of_the_longest_result_goes_and_its_ends_stay() -> None:
    lines = [f"line {n}" for n in range(500)]
    found = MiddleOut().compress(with_result("\n".join(lines)), 400)
    text = str(found.request.messages[-1]["content"])
    assert text.startswith("line 0\n")
    assert text.endswith("\nline 499")
    assert "characters left out" in text
    assert count_tokens(found.request.messages)[0] <= 400
    assert found.removed == "the middle of 1 tool result"


def test_json_and_code_are_not_cut() -> None:
    for text in ('{"rows": [' + "1, " * 900 + "1]}", "```\n" + "x = 1\n" * 500 + "```"):
        request = with_result(text)
        assert MiddleOut().compress(request, 50).request is request
