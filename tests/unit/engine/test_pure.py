"""The small pure rooms: charges, cache keys, assembling, planning, estimating."""

from __future__ import annotations

import datetime as dt
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routekit.engine.budget.charges import charges_for, window_identity
from routekit.engine.history.assemble import chunks_of, message_of
from routekit.engine.plan.estimate import infer_quality, work_of
from routekit.engine.plan.planner import Pool, plan
from routekit.types import (
    NO_SIGNALS,
    BudgetScope,
    CacheEntry,
    Chunk,
    Deployment,
    Model,
    Money,
    Price,
    Requirements,
    RouteRequest,
    Usage,
)

ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Apia"]


@given(st.sampled_from(["hour", "day", "week", "month"]), st.sampled_from(ZONES), st.integers(0, 4 * 10**9))
def test_every_instant_lies_in_one_window_that_ends_after_it(window, zone, now) -> None:
    name, resets_at = window_identity(window, zone, now)
    assert resets_at.timestamp() > now
    assert window_identity(window, zone, resets_at.timestamp() - 1)[0] == name
    assert window_identity(window, zone, resets_at.timestamp())[0] != name


def test_days_begin_where_people_are() -> None:
    moment = dt.datetime(2026, 3, 29, 22, 30, tzinfo=dt.UTC).timestamp()  # half past midnight in Berlin's summer
    assert window_identity("day", "Europe/Berlin", moment)[0] == "day:2026-03-30@Europe/Berlin"
    assert window_identity("day", "UTC", moment)[0] == "day:2026-03-29@UTC"
    assert window_identity("total", "UTC", moment) == ("total", None)


def test_a_call_draws_on_every_budget_that_means_it() -> None:
    deployment = Deployment(name="d", provider="p", model=Model(id="m"))
    scopes = [
        BudgetScope(scope=scope, limit=Money(1))
        for scope in ("global", "project:a", "project:b", "user:*", "tag:x", "provider:p", "deployment:other")
    ]
    values = {"project": ("a",), "user": ("u1",), "tag": ("x", "y")}
    found = [charge.scope for _, charge in charges_for(scopes, values, deployment, 0)]
    assert found == ["global", "project:a", "user:u1", "tag:x", "provider:p"]


@given(st.text(min_size=1), st.lists(st.integers(0, 200), max_size=10))
def test_any_cut_of_a_text_adds_up_to_it(text, cuts) -> None:
    places = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    chunks = [Chunk({"content": text[a:b]}) for a, b in itertools.pairwise(places)]
    assert message_of([Chunk({"role": "assistant"}), *chunks]) == {"role": "assistant", "content": text}


def test_parallel_tool_calls_come_together_by_index() -> None:
    deltas = [
        [{"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}],
        [{"index": 1, "id": "b", "type": "function", "function": {"name": "g", "arguments": '{"x"'}}],
        [{"index": 0, "function": {"arguments": "{}"}}, {"index": 1, "function": {"arguments": ": 1}"}}],
    ]
    message = message_of([Chunk({"tool_calls": delta}) for delta in deltas])
    assert [(c["id"], c["function"]["name"], c["function"]["arguments"]) for c in message["tool_calls"]] == [
        ("a", "f", "{}"),
        ("b", "g", '{"x": 1}'),
    ]


def test_a_replayed_message_assembles_to_itself() -> None:
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    message = {"role": "assistant", "content": "x", "tool_calls": [call], "reasoning_content": "hm"}
    entry = CacheEntry(
        message=message, finish_reason="stop", usage=Usage(), cost=Money(0), model=None, deployment="d", created_at=0
    )
    assert message_of(chunks_of(entry)) == message


def deployment(name: str, **more) -> Deployment:
    model = Model(id=name, context_window=more.pop("window", 1000), price=more.pop("price", Price(input=1, output=1)),
                  capabilities=more.pop("capabilities", frozenset({"chat", "tools"})))  # fmt: skip
    return Deployment(name=name, provider=more.pop("provider", "p"), model=model, **more)


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        (Requirements(capabilities=frozenset({"vision"})), "capability"),
        (Requirements(regions=frozenset({"eu"})), "region"),
        (Requirements(retention="zero"), "retention"),
        (Requirements(tags=frozenset({"local"})), "tag"),
        (Requirements(denied_providers=frozenset({"p"})), "provider"),
        (Requirements(allowed_providers=frozenset({"q"})), "provider"),
    ],
)
def test_each_requirement_has_its_reason(wanted, code) -> None:
    fits = deployment(
        "fits", region="eu", retention="zero", tags=frozenset({"local"}), provider="q",
        capabilities=frozenset({"vision"}),
    )  # fmt: skip
    request = RouteRequest(messages=({"role": "user", "content": "hi"},), requirements=wanted)
    planned = plan(Pool([deployment("misfit"), fits]), request, work_of(request), NO_SIGNALS, {})
    assert [c.name for c in planned.candidates] == ["fits"]
    assert [(r.deployment.name, r.code) for r in planned.rejections] == [("misfit", code)]
    assert planned.rejections[0].reason


def test_what_does_not_fit_into_the_window_is_rejected() -> None:
    request = RouteRequest(messages=({"role": "user", "content": "word " * 2000},))
    planned = plan(
        Pool([deployment("small"), deployment("large", window=10_000)]), request, work_of(request), NO_SIGNALS, {}
    )
    assert [c.name for c in planned.candidates] == ["large"]
    assert planned.rejections[0].code == "context_window"


def test_pictures_and_schemas_need_who_can() -> None:
    picture = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]}
    schema = {"response_format": {"type": "json_schema", "json_schema": {}}}
    for request, missing in (
        (RouteRequest(messages=(picture,)), "vision"),
        (RouteRequest(messages=({"role": "user", "content": "x"},), params=schema), "json_schema"),
    ):
        planned = plan(Pool([deployment("a", window=10**6)]), request, work_of(request), NO_SIGNALS, {})
        assert missing in planned.rejections[0].reason


@given(st.lists(st.one_of(st.none(), st.integers(0, 100)), min_size=1, max_size=8))
def test_a_dearer_model_is_never_inferred_to_be_worse(costs) -> None:
    fleet = [
        deployment(f"d{i}", price=None if cost is None else Price(input=cost, output=cost))
        for i, cost in enumerate(costs)
    ]
    inferred = infer_quality(fleet)
    for a in fleet:
        assert 0 <= inferred[a.name] <= 1
        for b in fleet:
            if a.price and b.price and a.price.input < b.price.input:
                assert inferred[a.name] < inferred[b.name]
