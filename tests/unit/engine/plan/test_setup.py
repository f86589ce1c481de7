"""A key that is missing is known without asking, and said."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from tests.support.routers import AsyncFace, SyncFace

from routekit import NoCandidateError, Router
from routekit.testing import ScriptedProvider, plugin_module

Face = SyncFace | AsyncFace
CHEAP = {
    "name": "cheap", "provider": "openai-compatible", "model": "m", "base_url": "http://127.0.0.1:9/v1",
    "api_key_env": "CHEAP_KEY", "price": {"input": 1, "output": 1},
}  # fmt: skip
DEAR = {"name": "dear", "provider": "scripted", "model": "n", "price": {"input": 50, "output": 50}}


def router_of(*deployments: dict[str, Any], env: dict[str, str]) -> Router:
    return Router(
        {"deployments": list(deployments)},
        providers={"dear": ScriptedProvider("abc", "abc")},
        plugins=[plugin_module(ScriptedProvider())],
        env=env,
    )


def test_nothing_dearer_is_bought_in_silence(face: Face, caplog: pytest.LogCaptureFixture) -> None:
    env = {"ROUTEKIT_PLUGINS": ""}
    router = router_of(CHEAP, DEAR, env=env)
    with caplog.at_level(logging.WARNING, "routekit.setup"):
        for _ in range(2):
            result = face.complete(router, "hi")
    assert [attempt.deployment.name for attempt in result.attempts] == ["dear"], "nobody was asked in vain"
    [rejection] = result.decision.rejections
    assert (rejection.deployment.name, rejection.code) == ("cheap", "setup")
    assert "CHEAP_KEY" in rejection.reason
    assert router.explain("hi").rejections[0].code == "setup"
    assert len(caplog.records) == 1, "said once"
    env["CHEAP_KEY"] = "sk-x"
    assert router.explain("hi").chosen.name == "cheap", "set later, seen later"
    env.pop("CHEAP_KEY")


@pytest.mark.parametrize(
    "table",
    [
        CHEAP,
        {**CHEAP, "api_key_env": None, "headers": {"x-api-key": "$OTHER_KEY"}},
        {**CHEAP, "api_key_env": None, "base_url": "$WHERE"},
        {"name": "cheap", "provider": "litellm", "model": "anthropic/m", "api_key_env": "CHEAP_KEY"},
        {"name": "cheap", "provider": "litellm", "model": "anthropic/m", "base_url": "$WHERE"},
    ],
)
def test_where_nobody_is_left_it_says_what_is_missing(face: Face, table: dict[str, Any]) -> None:
    router = router_of({k: v for k, v in table.items() if v is not None}, env={"ROUTEKIT_PLUGINS": ""})
    for ask in (lambda: face.complete(router, "hi"), lambda: face.stream(router, "hi"), lambda: router.explain("hi")):
        with pytest.raises(NoCandidateError, match=r"CHEAP_KEY|OTHER_KEY|WHERE"):
            ask()


PICTURE = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]}]


def able_router(**tables: dict[str, Any]) -> Router:
    providers = {name: ScriptedProvider("abc", "abc") for name in tables}
    deployments = [
        {"name": name, "provider": "scripted", "model": f"model-{name}", "price": {"input": 1, "output": 1}, **table}
        for name, table in tables.items()
    ]
    return Router(
        {"deployments": deployments}, providers=providers, plugins=[plugin_module(ScriptedProvider())],
        env={"ROUTEKIT_PLUGINS": ""},
    )  # fmt: skip


@pytest.mark.parametrize("how", [{"messages": PICTURE}, {"messages": "hi", "logprobs": True}])
def test_who_nobody_described_is_tried_behind_those_that_are_able(face: Face, how: dict[str, Any]) -> None:
    able = {"capabilities": ["chat", "vision", "logprobs"], "price": {"input": 9, "output": 9}}
    unable = {"capabilities": ["chat"]}
    arguments = dict(how)
    messages = arguments.pop("messages")
    router = able_router(unknown={}, unable=unable, able=able)
    decision = face.complete(router, messages, **arguments).decision
    assert [ranked.deployment.name for ranked in decision.ranked] == ["able", "unknown"]
    assert [(each.deployment.name, each.code) for each in decision.rejections] == [("unable", "capability")]
    assert any("nobody knows" in note and "unknown" in note for note in decision.notes)
    assert face.complete(able_router(unknown={}), messages, **arguments).text == "abc"
    with pytest.raises(NoCandidateError, match="cannot do"):
        face.complete(able_router(unable=unable), messages, **arguments)
