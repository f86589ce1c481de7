"""What callers pass: text from outside is made safe at the edge, under both faces."""

from __future__ import annotations

import math
from typing import Any

import pytest
from tests.support.routers import FACES

from routekit import Router, Step
from routekit.errors import InvalidInputError
from routekit.testing import Reply, ScriptedProvider, plugin_module

Face = Any
LONE = "a\ud800"


@pytest.fixture(params=FACES, ids=lambda face: face.name)
def face(request: pytest.FixtureRequest) -> Face:
    return request.param


@pytest.fixture
def provider() -> ScriptedProvider:
    return ScriptedProvider(Reply("ok"))


@pytest.fixture
def router(provider: ScriptedProvider) -> Any:
    table = {"name": "a", "provider": "scripted", "model": "m", "price": {"input": 1, "output": 1}}
    with Router(
        {
            "deployments": [table],
            "budgets": [{"scope": "user:*", "limit_usd": 1}],
            "router": {"budget_store": "memory"},
        },
        plugins=[plugin_module(ScriptedProvider())],
        providers={"a": provider},
        env={"ROUTEKIT_PLUGINS": ""},
    ) as router:
        yield router


@pytest.mark.parametrize(
    "options",
    [
        {"scopes": {"user": LONE}},
        {"scopes": {"tag": ["x", LONE]}},
        {"scopes": {"user": "a\0"}},
        {"scopes": {"user": "x" * 5000}},
        {"scopes": {LONE: "x"}},
        {"scopes": {7: "x"}},
        {"session": LONE},
        {"cache_namespace": "a\0b"},
        {"model": LONE},
        {"step": Step(run_id=LONE)},
        {"step": Step(run_id=7)},  # type: ignore[arg-type]  # what callers do
        {"step": Step(kind="x" * 5000)},
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
def test_names_that_are_no_names_are_refused_before_anything_is_asked(
    face: Face, router: Router, provider: ScriptedProvider, options: dict[str, Any], streamed: bool
) -> None:
    ask = face.stream if streamed else face.complete
    with pytest.raises(InvalidInputError) as refused:
        ask(router, "hi", **options)
    str(refused.value).encode()
    assert provider.calls == []


@pytest.mark.parametrize("options", [{"temperature": math.nan}, {"top_p": math.inf}, {"extra_body": {"a": [math.nan]}}])
def test_parameters_that_json_cannot_carry_are_refused(
    face: Face, router: Router, provider: ScriptedProvider, options: dict[str, Any]
) -> None:
    with pytest.raises(InvalidInputError, match="JSON"):
        face.complete(router, "hi", **options)
    assert provider.calls == []


def test_text_that_was_cut_in_two_is_mended(face: Face, router: Router, provider: ScriptedProvider) -> None:
    tool = {"type": "function", "function": {"name": "f", "description": LONE}}
    face.complete(router, LONE, tools=[tool], stop=[LONE], scopes={"user": "ada \u00e9"})
    request = provider.calls[0]
    assert request.messages[0]["content"] == "a\ufffd"
    assert request.tools[0]["function"]["description"] == "a\ufffd"
    assert request.params["stop"] == ["a\ufffd"]
