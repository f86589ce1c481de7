"""Groups that fall back on others, names of one's own for them, and prices of models with names of one's own."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.routers import AsyncFace, SyncFace, scripted_router

from routekit import ConfigError, NoCandidateError, Router
from routekit.errors import ProviderUnavailableError
from routekit.testing import ScriptedProvider, plugin_module

Face = SyncFace | AsyncFace
FAST: dict[str, Any] = {"a": {"group": "fast"}, "b": {"group": "big"}, "c": {"group": "big"}}


def router_of(a: ScriptedProvider, **config: Any) -> Router:
    providers = {"a": a, "b": ScriptedProvider("from b"), "c": ScriptedProvider("from c")}
    return scripted_router(providers, config={"groups": {"fast": {"fallback": ["big"]}}, **config}, **FAST)


def test_a_group_falls_back_on_the_groups_behind_it(face: Face) -> None:
    down = router_of(ScriptedProvider(ProviderUnavailableError("down"), ProviderUnavailableError("down")))
    result = face.complete(down, "hi", group="fast")
    assert [attempt.deployment.name for attempt in result.attempts] == ["a", "b"]
    fine = router_of(ScriptedProvider("from a"))
    assert [r.deployment.name for r in fine.explain("hi", group="fast").ranked] == ["a", "b", "c"]
    assert [r.deployment.name for r in fine.explain("hi", model="fast").ranked] == ["a", "b", "c"]
    assert [r.deployment.name for r in fine.explain("hi", model="a").ranked] == ["a"], "a deployment is a deployment"
    assert [r.deployment.name for r in fine.explain("hi", group="big").ranked] == ["b", "c"]


def test_where_nobody_of_it_can_serve_the_fallback_is_asked(face: Face) -> None:
    tables = {**FAST, "a": {"group": "fast", "capabilities": ["chat"]}, "b": {"group": "big", "capabilities": ["chat"]}}
    providers = {name: ScriptedProvider(name) for name in tables}
    router = scripted_router(providers, config={"groups": {"fast": {"fallback": ["big"]}}}, **tables)
    tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
    result = face.complete(router, "hi", group="fast", tools=[tool])
    assert result.text == "c"
    assert {r.deployment.name for r in result.decision.rejections} == {"a"}
    with pytest.raises(NoCandidateError):
        face.complete(router, "hi", model="a", tools=[tool])


def test_aliases_stand_for_groups_models_and_deployments(face: Face) -> None:
    groups = {"fast": {"aliases": ["gpt-old"]}}
    router = router_of(ScriptedProvider("from a"), groups=groups, aliases={"best-of-all": "c", "older": "model-b"})
    for alias, name in (("gpt-old", "a"), ("best-of-all", "c"), ("older", "b")):
        assert face.complete(router, "hi", model=alias).text == f"from {name}"


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"aliases": {"x": "nobody"}}, "nobody"),
        ({"aliases": {"a": "b"}}, "itself"),
        ({"groups": {"fast": {"fallback": ["nobody"]}}}, "nobody"),
        ({"groups": {"fast": {"fallback": ["fast"]}}}, "itself"),
    ],
)
def test_names_that_mean_nothing_are_refused(config: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        router_of(ScriptedProvider(), **config)


def test_a_model_under_a_name_of_ones_own_has_the_price_of_the_one_it_is() -> None:
    def made(**more: Any) -> Router:
        table = {"name": "a", "provider": "scripted", "model": "my-azure-deployment", **more}
        return Router(
            {"deployments": [table]}, plugins=[plugin_module(ScriptedProvider())], env={"ROUTEKIT_PLUGINS": ""},
            providers={"a": ScriptedProvider()},
        )  # fmt: skip

    model = made(price_of="gpt-4o-mini").deployments[0].model
    assert model.id == "my-azure-deployment"
    assert model.price is not None
    assert model.context_window
    assert made().deployments[0].model.price is None
    with pytest.raises(ConfigError, match="price_of"):
        made(price_of="no such model at all")
