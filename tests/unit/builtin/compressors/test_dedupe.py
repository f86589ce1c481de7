from __future__ import annotations

from typing import Any

from routekit.builtin.compressors.dedupe import Dedupe
from routekit.builtin.compressors.trim import Trim
from routekit.types import RouteRequest

FILE = "\n".join(f"line {n}: value = {n * 7}" for n in range(60))


def conversation(*results: str, said: str = "go on") -> RouteRequest:
    messages: list[Any] = [{"role": "user", "content": "read it"}]
    for place, text in enumerate(results):
        call = {"id": f"call_{place}", "type": "function", "function": {"name": "read", "arguments": "{}"}}
        messages.append({"role": "assistant", "content": None, "tool_calls": [call]})
        messages.append({"role": "tool", "tool_call_id": f"call_{place}", "content": text})
    messages.append({"role": "user", "content": said})
    return RouteRequest(messages=tuple(messages))


def contents(request: RouteRequest) -> list[str]:
    return [str(m["content"]) for m in request.messages if m["role"] == "tool"]


def test_the_second_reading_of_a_file_is_a_reference_to_the_first() -> None:
    found = Dedupe().compress(conversation(FILE, FILE), None)
    assert contents(found.request) == [FILE, "[the same as in the result of call_0]"]
    assert found.lossless
    assert found.removed == "repetitions in 1 message"


def test_a_file_read_again_after_an_edit_says_only_what_is_new() -> None:
    edited = FILE.replace("line 30: value = 210", "line 30: value = 999")
    _, second = contents(Dedupe().compress(conversation(FILE, edited), None).request)
    assert second.split("\n") == [
        "[the same 30 lines as in the result of call_0]",
        "line 30: value = 999",
        "[the same 29 lines as in the result of call_0]",
    ]


def test_a_quoted_file_in_an_older_turn_is_a_reference_and_the_newest_turn_is_left_alone() -> None:
    quoted = f"What of this?\n```python\n{FILE}\n```\nThanks."
    request = conversation(FILE, said=quoted)
    assert Dedupe().compress(request, None).request is request  # it is the newest user turn
    later = RouteRequest(messages=(*request.messages, {"role": "user", "content": "and now?"}))
    said = Dedupe().compress(later, None).request.messages[-2]["content"]
    assert said == "What of this?\n[the same as in the result of call_0]\nThanks."


def test_json_is_replaced_as_a_whole_or_not_at_all() -> None:
    rows = "[" + ",\n".join(f'{{"id": {n}, "name": "a name of some length {n}"}}' for n in range(30)) + "]"
    longer = rows[:-1] + ',\n{"id": 99}]'
    assert contents(Dedupe().compress(conversation(rows, longer), None).request) == [rows, longer]
    assert contents(Dedupe().compress(conversation(rows, rows), None).request)[1].startswith("[the same as")


def test_short_results_and_calls_without_a_usable_id_stay() -> None:
    assert Dedupe().compress(conversation("ok", "ok"), None).request.messages[2]["content"] == "ok"
    odd = conversation(FILE, FILE)
    messages = tuple({**m, "tool_call_id": "a]b"} if m["role"] == "tool" else m for m in odd.messages)
    request = RouteRequest(messages=messages)  # type: ignore[arg-type]
    assert Dedupe().compress(request, None).request is request


def test_what_is_referred_to_is_not_dropped_without_what_refers_to_it() -> None:
    first = conversation(FILE, said="again")
    again = {"id": "again", "type": "function", "function": {"name": "read", "arguments": "{}"}}
    messages: Any = (
        *first.messages,
        {"role": "assistant", "content": None, "tool_calls": [again]},
        {"role": "tool", "tool_call_id": "again", "content": FILE},
        {"role": "user", "content": "so?"},
    )
    small = Dedupe().compress(RouteRequest(messages=messages), None).request
    kept = Trim().compress(small, 10).request
    assert [m["content"] for m in kept.messages] == ["so?"]  # both turns went
    newest = RouteRequest(messages=messages[:-1])
    kept = Trim().compress(Dedupe().compress(newest, None).request, 10).request
    assert FILE in [m["content"] for m in kept.messages]  # both stayed
