from __future__ import annotations

import json
from typing import Any

import pytest

from routekit.builtin.compressors.tool_output import ToolOutput
from routekit.errors import ConfigError
from routekit.types import RouteRequest, count_tokens


def conversation(result: str, question: str = "What happened to order A-7741?", arguments: str = "{}") -> RouteRequest:
    call = {"id": "c", "type": "function", "function": {"name": "orders", "arguments": arguments}}
    messages: Any = (
        {"role": "user", "content": question},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": result},
    )
    return RouteRequest(messages=messages)


def shortened(result: str, target: int = 1, **options: Any) -> tuple[str, ToolOutput]:
    tool = ToolOutput(**{"over_tokens": 100, "keep": 0.2, **options})
    return str(tool.compress(conversation(result), target).request.messages[-1]["content"]), tool


LOG = [f"2026-01-01 10:{n // 60:02}:{n % 60:02} INFO worker {n} is idle and waits for work" for n in range(400)]


def test_keeps_errors_with_their_trace_what_was_asked_for_and_both_ends() -> None:
    log = list(LOG)
    log[250] = "2026-01-01 10:04:10 INFO order A-7741 was handed to the carrier"
    log[300:301] = [
        "Traceback (most recent call last):",
        '  File "a.py", line 3, in f',
        "    g()",
        "ValueError: no stock",
    ]
    text, _ = shortened("\n".join(log))
    for line in (log[0], log[-1], log[250], *log[300:304]):
        assert line in text
    assert "lines left out" in text
    assert len(text) < 0.3 * len("\n".join(log))


def test_json_keeps_the_record_in_question_and_the_failed_ones_and_stays_json() -> None:
    rows = [{"order": f"B-{n}", "state": "sent", "note": f"a note about parcel {n}"} for n in range(300)]
    rows[120] = {"order": "A-7741", "state": "lost", "note": "handed to the wrong carrier"}
    rows[200] = {"order": "B-200", "state": "failed", "note": "address invalid"}
    text, tool = shortened(json.dumps({"count": 300, "orders": rows}))
    value = json.loads(text)
    assert value["count"] == 300
    assert value["orders"]["columns"] == ["order", "state", "note"]
    assert ["A-7741", "lost", "handed to the wrong carrier"] in value["orders"]["rows"]
    assert ["B-200", "failed", "address invalid"] in value["orders"]["rows"]
    assert any(isinstance(row, str) and row.endswith("left out") for row in value["orders"]["rows"])
    assert json.loads(str(tool.original(value["retrieve_original"]))) == {"count": 300, "orders": rows}


def test_where_the_table_is_short_enough_nothing_is_lost() -> None:
    rows = [{"customer_identifier": n, "outstanding_balance_in_cents": n * 3} for n in range(100)]
    tool = ToolOutput(over_tokens=100)
    request = conversation(json.dumps(rows))
    found = tool.compress(request, int(count_tokens(request.messages)[0] * 0.5))
    assert found.lossless
    value = json.loads(str(found.request.messages[-1]["content"]))
    assert [dict(zip(value["columns"], row, strict=True)) for row in value["rows"]] == rows


def test_takes_no_more_than_the_target_needs() -> None:
    request = conversation("\n".join(LOG))
    sizes = []
    for share in (0.9, 0.6, 0.4):
        target = int(count_tokens(request.messages)[0] * share)
        found = ToolOutput(over_tokens=100).compress(request, target).request
        sizes.append(count_tokens(found.messages)[0] / target)
    assert all(0.75 < size <= 1.02 for size in sizes), sizes


def test_blocks_of_code_stay_whole() -> None:
    code = "```python\n" + "\n".join(f"    value_{n} = {n}" for n in range(30)) + "\n```"
    text, _ = shortened("\n".join([*LOG[:150], "the failed function:", code, *LOG[150:300]]), keep=0.4)
    assert text.count("```") % 2 == 0
    assert code in text or "value_1 =" not in text


def test_the_call_s_own_arguments_count_as_asked_for() -> None:
    log = list(LOG)
    log[77] = "2026-01-01 10:01:17 INFO zebra crossing repainted"
    tool = ToolOutput(over_tokens=100, keep=0.2)
    request = conversation("\n".join(log), question="What now?", arguments='{"query": "zebra crossing"}')
    assert log[77] in str(tool.compress(request, 1).request.messages[-1]["content"])


def test_a_conversation_that_goes_on_is_sent_with_the_same_beginning() -> None:
    tool = ToolOutput(over_tokens=100, keep=0.2)
    request = conversation("\n".join(LOG))
    first = tool.compress(request, 2000).request
    call = {"id": "d", "type": "function", "function": {"name": "more", "arguments": "{}"}}
    later = RouteRequest(
        messages=(
            *request.messages,
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "d", "content": "short"},
        )  # type: ignore[arg-type]
    )
    assert tool.compress(later, 2010).request.messages[:3] == first.messages


def test_originals_are_bounded_and_the_oldest_go_first() -> None:
    tool = ToolOutput(over_tokens=50, keep=0.1, originals_mb=0.05)
    texts = ["\n".join(f"{line} {n}" for line in LOG) for n in range(3)]
    handles = []
    for text in texts:
        short = str(tool.compress(conversation(text), 1).request.messages[-1]["content"])
        handles.append(short.rsplit('retrieve_original("', 1)[1].split('"')[0])
    assert tool.original(handles[0]) is None
    assert tool.original(handles[2]) == texts[2]
    assert tool.original("guess") is None


def test_without_originals_none_is_offered() -> None:
    text, _ = shortened("\n".join(LOG), originals_mb=0)
    assert "retrieve_original" not in text


def test_a_handle_depends_on_a_secret() -> None:
    short = [
        str(
            ToolOutput(secret=lambda s=s: s, over_tokens=100)
            .compress(conversation("\n".join(LOG)), 1)
            .request.messages[-1]
        )
        for s in (b"a" * 32, b"b" * 32)
    ]
    assert short[0] != short[1]


def test_options_are_checked() -> None:
    with pytest.raises(ConfigError, match="keep"):
        ToolOutput(keep=2)


def test_json_that_cannot_be_shortened_safely_is_left_alone() -> None:
    twice = '{"a": [' + ", ".join(f'{{"k": {n}, "k": {n + 1}}}' for n in range(300)) + "]}"
    deep = "[" * 900 + "1" + "]" * 900 + " " * 2000
    for text in (twice, deep):
        request = conversation(text)
        found = str(ToolOutput(over_tokens=50, keep=0.1).compress(request, 1).request.messages[-1]["content"])
        assert json.loads(found) == json.loads(text)
