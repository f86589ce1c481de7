"""The tool calls of streams, as endpoints really send them, told apart and made one shape."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routekit.plugin.deltas import add_up
from routekit.plugin.toolcalls import ToolCalls

OFFERED = ("get_weather", "get_time")
OSLO, CET = '{"city":"Oslo"}', '{"zone":"CET"}'


def call(**more: Any) -> dict[str, Any]:
    """A delta: `name` and `arguments` go into the function, the rest beside it."""
    function = {key: more.pop(key) for key in ("name", "arguments") if key in more}
    return {**more, **({"function": function} if function else {})}


def read(deltas: list[Any], offered: tuple[str, ...] = OFFERED) -> list[dict[str, Any]]:
    """The message's calls after these deltas, each a list of calls or one of them."""
    calls = ToolCalls(offered)
    out = [{"tool_calls": calls.read(delta if isinstance(delta, list) else [delta])} for delta in deltas]
    return add_up([*out, {"tool_calls": calls.end()}]).get("tool_calls", [])


def pairs(calls: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(made["function"]["name"], made["function"]["arguments"]) for made in calls]


BOTH = [("get_weather", OSLO), ("get_time", CET)]
WHOLE_0 = {"name": "get_weather", "arguments": OSLO}
WHOLE_1 = {"name": "get_time", "arguments": CET}


@pytest.mark.parametrize(
    "deltas",
    [
        pytest.param([call(index=0, id="a", **WHOLE_0), call(index=1, id="b", **WHOLE_1)], id="as OpenAI says"),
        pytest.param([call(index=0, id="a", **WHOLE_0), call(index=0, id="b", **WHOLE_1)], id="all at index 0"),
        pytest.param([call(id="a", **WHOLE_0), call(id="b", **WHOLE_1)], id="no index"),
        pytest.param([call(index=0, **WHOLE_0), call(index=0, **WHOLE_1)], id="index 0, no ids"),
        pytest.param([call(**WHOLE_0), call(**WHOLE_1)], id="neither"),
        pytest.param([[call(**WHOLE_0), call(**WHOLE_1)]], id="neither, in one delta"),
        pytest.param([[call(index=0, **WHOLE_0), call(index=0, **WHOLE_1)]], id="index 0, in one delta"),
        pytest.param([call(index="0", **WHOLE_0), call(index="1", **WHOLE_1)], id="index as text"),
        pytest.param([call(index=0.0, **WHOLE_0), call(index=1.0, **WHOLE_1)], id="index as fraction"),
        pytest.param([call(index=1, id="a", **WHOLE_0), call(index=2, id="b", **WHOLE_1)], id="index from 1"),
        pytest.param([call(index=0, id="", **WHOLE_0), call(index=1, id="", **WHOLE_1)], id="empty ids"),
        pytest.param([call(index=0, id=7, **WHOLE_0), call(index=1, id=8, **WHOLE_1)], id="ids that are numbers"),
        pytest.param([call(index=0, id="x", **WHOLE_0), call(index=1, id="x", **WHOLE_1)], id="one id for two"),
        pytest.param(
            [
                call(index=0, id="a", name="get_weather", arguments='{"city":'),
                call(index=1, id="b", name="get_time", arguments='{"zone":'),
                call(index=0, arguments='"Oslo"}'),
                call(index=1, arguments='"CET"}'),
            ],
            id="taking turns",
        ),
        pytest.param(
            [
                call(index=0, id="a", name="get_weather", arguments='{"city":'),
                call(index=0, id="b", name="get_time", arguments='{"zone":'),
                call(index=0, id="a", arguments='"Oslo"}'),
                call(index=0, id="b", arguments='"CET"}'),
            ],
            id="taking turns by id",
        ),
        pytest.param(
            [
                call(index=0, arguments='{"city":'),
                call(index=1, arguments='{"zone":'),
                call(index=0, arguments='"Oslo"}', name="get_weather", id="a"),
                call(index=1, arguments='"CET"}', name="get_time", id="b"),
            ],
            id="arguments before names",
        ),
        pytest.param(
            [call(index=0, id="a", name="get_weather", arguments=part) for part in ("", '{"city":', '"Oslo"}')]
            + [call(index=1, id="b", name="get_time", arguments=part) for part in ("", '{"zone":', '"CET"}')],
            id="all repeated",
        ),
        pytest.param(
            [call(index=0, name="get_weather", arguments=part) for part in ("", '{"city":', '"Oslo"}')]
            + [call(index=0, name="get_time", arguments=part) for part in ("", '{"zone":', '"CET"}')],
            id="names repeated, no ids, index 0",
        ),
        pytest.param(
            [
                call(index=0, id="a", name="get_weather", arguments={"city": "Oslo"}),
                call(index=1, id="b", name="get_time", arguments={"zone": "CET"}),
            ],
            id="objects",
        ),
        pytest.param(
            [
                call(index=0, id="a", **WHOLE_0),
                call(index=1, id="b", **WHOLE_1),
                call(index=0, id="a", **WHOLE_0),
                call(index=1, arguments=CET),
            ],
            id="once more at the end",
        ),
        pytest.param(
            [
                call(index=0, id="a", name="get_"),
                call(index=0, name="weather"),
                call(index=0, arguments=OSLO),
                call(index=1, id="b", **WHOLE_1),
            ],
            id="a name in pieces",
        ),
        pytest.param(
            [{"index": 0, "id": "a", **WHOLE_0}, {"index": 1, "id": "b", **WHOLE_1}], id="no level of the function"
        ),
        pytest.param(
            [call(index=0, id="a", **WHOLE_0), [call(index=1, id="b", **WHOLE_1), None, 3]], id="nonsense beside"
        ),
    ],
)
def test_two_calls_are_two_calls_however_they_come(deltas: list[Any]) -> None:
    made = read(deltas)
    assert pairs(made) == BOTH
    assert len({one["id"] for one in made}) == 2
    assert all(one["id"] and one["type"] == "function" and "index" not in one for one in made)


def test_given_ids_stay() -> None:
    assert [one["id"] for one in read([call(index=0, id="a", **WHOLE_0), call(index=0, id="b", **WHOLE_1)])] == [
        "a",
        "b",
    ]
    assert [one["id"] for one in read([call(index=0, arguments=OSLO), call(index=0, id="late", name="f")])] == ["late"]


def test_one_function_twice_is_two_calls() -> None:
    rome = '{"city":"Rome"}'
    for deltas in (
        [call(index=0, name="get_weather", arguments=OSLO), call(index=0, name="get_weather", arguments=rome)],
        [call(id="get_weather", index=n, name="get_weather", arguments=a) for n, a in enumerate((OSLO, rome))],
        [[call(name="get_weather", arguments=OSLO), call(name="get_weather", arguments=rome)]],
    ):
        made = read(deltas)
        assert pairs(made) == [("get_weather", OSLO), ("get_weather", rome)]
        assert len({one["id"] for one in made}) == 2


def test_calls_without_arguments_have_none() -> None:
    assert pairs(read([call(index=0, id="a", name="f"), call(index=1, id="b", name="g", arguments=None)])) == [
        ("f", ""),
        ("g", ""),
    ]


def test_what_a_vendor_adds_to_a_call_stays() -> None:
    [made] = read([{**call(index=0, id="a", **WHOLE_0), "extra_content": {"google": {"thought_signature": "s"}}}])
    assert made["extra_content"] == {"google": {"thought_signature": "s"}}


def test_tools_that_take_text_come_together_too() -> None:
    first = {"index": 0, "id": "a", "type": "custom", "custom": {"name": "sql", "input": "SELECT "}}
    assert read([first, {"index": 0, "custom": {"input": "1"}}]) == [
        {"id": "a", "type": "custom", "custom": {"name": "sql", "input": "SELECT 1"}}
    ]


@pytest.mark.parametrize("nonsense", [None, True, 3, "x", {}, [None], [[]], [{"function": 3}], [{"index": {}}]])
def test_nonsense_is_no_call(nonsense: Any) -> None:
    calls = ToolCalls()
    assert not [one for one in calls.read(nonsense) if one.get("function")]


arguments = st.dictionaries(st.text(max_size=5), st.text(max_size=8) | st.integers(), max_size=3)
names = st.sampled_from(["f", "get", "get_weather"])


@given(
    st.lists(st.tuples(names, arguments), min_size=1, max_size=4), st.lists(st.integers(0, 400), max_size=6), st.data()
)
def test_any_cut_of_any_calls_gives_them_back(
    wanted: list[tuple[str, dict[str, Any]]], cuts: list[int], data: st.DataObject
) -> None:
    style = data.draw(st.sampled_from(["indexed", "index 0", "repeated"]))
    texts = [json.dumps(passed) for _, passed in wanted]
    deltas = []
    for place, ((name, _), text) in enumerate(zip(wanted, texts, strict=True)):
        edges = [0, *sorted(cut % (len(text) + 1) for cut in cuts), len(text)]
        pieces = [text[a:b] for a, b in itertools.pairwise(edges)]
        for at, piece in enumerate(pieces):
            index = 0 if style == "index 0" else place
            head = {"id": f"c{place}", "name": name} if style != "indexed" or at == 0 else {}
            deltas.append(call(index=index, arguments=piece, **head))
    made = read(deltas, ("f", "get", "get_weather"))
    assert pairs(made) == [(name, text) for (name, _), text in zip(wanted, texts, strict=True)]


json_like = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 3) | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["index", "id", "type", "function", "custom", "name", "arguments", "input"]), inner
        )
    ),
    max_leaves=12,
)


@given(st.lists(json_like, max_size=6))
def test_whatever_comes_the_indexes_are_distinct_and_ids_come_once(deltas: list[Any]) -> None:
    calls = ToolCalls(OFFERED)
    out = [one for delta in deltas for one in calls.read(delta)] + calls.end()
    ids = [(one["index"], one["id"]) for one in out if "id" in one]
    assert len({index for index, _ in ids}) == len(ids) == len({call_id for _, call_id in ids})
    assert {one["index"] for one in out} <= {index for index, _ in ids}
    again = ToolCalls(OFFERED)
    twice = [made for one in out for made in again.read([one])]
    assert add_up([{"tool_calls": twice}]) == add_up([{"tool_calls": out}]), "doing it twice changes nothing"
