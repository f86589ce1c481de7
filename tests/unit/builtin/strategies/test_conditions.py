from __future__ import annotations

import re

import pytest
from tests.support.candidates import ask

from routekit.builtin.strategies._conditions import MAX_TEXT, compiled
from routekit.types import Requirements, RouteRequest, Step

SEARCH = {"type": "function", "function": {"name": "search"}}
FETCH = {"type": "function", "function": {"name": "fetch"}}

REQUEST = ask(
    "Please pay invoice 4711.",
    tools=(SEARCH, FETCH),
    params={"temperature": 0.2, "response_format": {"type": "json_object"}, "nested": {"deep": "x"}},
    group="default",
    model="mini",
    session="s1",
    stream=True,
    scopes={"project": ("search",), "tag": ("batch", "eu")},
    metadata={"tier": "gold", "n": 1, "flag": True, "labels": ["a", "b"], "customer": {"country": "DE"}, "a.b": "dot"},
    requirements=Requirements(capabilities=frozenset({"reasoning"})),
    step=Step(kind="plan", node="planner", index=3, run_id="r1"),
)
BARE = ask("hi")

HOLDS = [
    {"metadata.tier": "gold"},
    {"metadata": {"tier": "gold", "n": {"$gte": 1}}},
    {"metadata.tier": {"$eq": "gold"}},
    {"metadata.tier": {"$ne": "free"}},
    {"metadata.tier": ["gold", "silver"]},
    {"metadata.tier": {"$in": ["gold"]}},
    {"metadata.tier": {"$nin": ["free", "trial"]}},
    {"metadata.tier": {"$regex": "^go"}},
    {"metadata.tier": {"$gt": "a", "$lt": "h"}},
    {"metadata.customer.country": "DE"},
    {"metadata": {"customer": {"$exists": True}}},
    {"metadata.a.b": "dot"},
    {"metadata.missing": {"$exists": False}},
    {"metadata.missing": {"$ne": "x"}},
    {"metadata.missing": {"$nin": ["x"]}},
    {"metadata.flag": True},
    {"metadata.labels": "b"},
    {"metadata.labels": {"$ne": "c"}},
    {"metadata.labels": {"$gte": 2}},
    {"scopes.project": "search"},
    {"scopes": {"project": ["search", "other"]}},
    {"tags": "eu"},
    {"tags": {"$in": ["x", "batch"]}},
    {"tags": {"$regex": "^ba"}},
    {"tags": 2},
    {"tools": True},
    {"tools": 2},
    {"tools": {"$gt": 1}},
    {"tools": "search"},
    {"tools": ["nothing", "fetch"]},
    {"tokens": {"$gt": 10, "$lte": 100}},
    {"messages": 1},
    {"text": {"$regex": r"invoice \d+"}},
    {"text": {"$regex": "(?i)INVOICE"}},
    {"capabilities": "tools"},
    {"capabilities": "reasoning"},
    {"capabilities": "json_object"},
    {"step.kind": "plan"},
    {"step": "plan"},
    {"step": ["plan", "act"]},
    {"step": {"kind": "plan", "node": "planner"}},
    {"step.index": {"$lt": 4}},
    {"step.run_id": "r1"},
    {"step.after_tool_error": False},
    {"group": "default"},
    {"model": {"$exists": True}},
    {"session": "s1"},
    {"stream": True},
    {"params.temperature": {"$lt": 0.5}},
    {"params.nested.deep": "x"},
    {"tokens": {"$not": {"$gt": 4000}}},
    {"metadata.tier": {"$not": "free"}},
    {"metadata.n": {"$or": [{"$lt": 0}, {"$gt": 0}]}},
    {"metadata.n": {"$and": [{"$gt": 0}, {"$lt": 2}]}},
    {"$or": [{"stream": False}, {"tools": True}]},
    {"$and": [{"stream": True}, {"tools": True}]},
    {"$not": {"metadata.tier": "free"}},
    {"stream": True, "tools": True, "$not": {"tags": "x"}},
]

FAILS = [
    {"metadata.tier": "silver"},
    {"metadata.tier": {"$gt": 3}},
    {"metadata.n": True},
    {"metadata.flag": 1},
    {"metadata.flag": {"$gt": 0}},
    {"metadata.n": {"$regex": "1"}},
    {"metadata.missing": "x"},
    {"metadata.missing": {"$lt": 5}},
    {"metadata.missing": {"$regex": ""}},
    {"metadata.tier.deeper": "x"},
    {"metadata.labels": {"$nin": ["a"]}},
    {"metadata.labels": {"$gt": 2}},
    {"scopes.user": {"$exists": True}},
    {"tags": {"$ne": "eu"}},
    {"tools": False},
    {"tools": {"$exists": False}},
    {"tools": 1},
    {"text": {"$regex": "^invoice"}},
    {"tokens": {"$gt": 100}},
    {"stream": True, "tools": False},
    {"$or": [{"stream": False}, {"tools": False}]},
    {"$and": [{"stream": True}, {"tools": False}]},
]


@pytest.mark.parametrize("when", HOLDS, ids=str)
def test_holds(when):
    assert compiled(when)(REQUEST) is True
    assert compiled({"$not": when})(REQUEST) is False


@pytest.mark.parametrize("when", FAILS, ids=str)
def test_does_not_hold(when):
    assert compiled(when)(REQUEST) is False


@pytest.mark.parametrize("field", ["step.kind", "step.node", "session", "tools", "tags", "metadata.x", "capabilities"])
def test_a_request_without_a_field_has_none(field):
    assert compiled({field: {"$exists": False}})(BARE)
    assert not compiled({field: "x"})(BARE)


def test_media_parts_are_capabilities():
    parts = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": "data:"}}]
    request = RouteRequest(messages=({"role": "user", "content": parts},))
    assert compiled({"capabilities": "vision"})(request)
    assert compiled({"text": "What is it?"})(request)


@pytest.mark.parametrize(
    ("when", "message"),
    [
        ({}, "empty condition"),
        ("tools", "a condition is a table"),
        ({"tiers": 1}, "unknown field 'tiers'"),
        ({"step.kin": "plan"}, "did you mean 'step.kind'"),
        ({"step": {"mind": "plan"}}, "unknown field 'step.mind'"),
        ({"metadata": "gold"}, "unknown field 'metadata'"),
        ({"metadata": {}}, "'metadata' is an empty table"),
        ({"$nor": [{"stream": True}]}, "unknown operator '$nor'"),
        ({"tokens": {"$above": 5}}, "unknown operator '$above' of 'tokens'"),
        ({"tokens": {}}, "'tokens' has an empty table"),
        ({"tokens": {"$gt": True}}, "$gt of 'tokens' takes a number"),
        ({"tokens": {"$gt": None}}, "$gt of 'tokens' takes a number"),
        ({"group": {"$eq": ["a"]}}, "use $in or $nin"),
        ({"group": {"$in": "abc"}}, "$in of 'group' takes a list"),
        ({"group": []}, "$in of 'group' takes a list with something in it"),
        ({"$or": []}, "$or takes a list"),
        ({"$and": {"stream": True}}, "$and takes a list"),
        ({"group": {"$exists": "yes"}}, "takes true or false"),
        ({"text": {"$regex": "("}}, "$regex of 'text' is no valid pattern"),
        ({"text": {"$regex": 5}}, "takes a pattern as text"),
        ({"text": {"$regex": r"(\w+\s?)+$"}}, "possessive"),
    ],
    ids=str,
)
def test_what_cannot_be_meant_is_refused_by_name(when, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        compiled(when)


def test_patterns_look_at_the_first_part_of_a_long_text_only():
    pattern = compiled({"text": {"$regex": "needle"}})
    assert pattern(ask("x" * (MAX_TEXT - 6) + "needle"))
    assert not pattern(ask("x" * MAX_TEXT + "needle"))
