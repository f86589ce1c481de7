"""Learned quality inside a router: who is chosen, what is said, and what happens when it fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.unit.quality.conftest import rows

from routekit import Router
from routekit.errors import ConfigError
from routekit.plugin import Scorer, ScorerPlugin, hookimpl
from routekit.quality import QualityModel
from routekit.testing import ScriptedProvider
from routekit.types import PluginBypassed

CODE = "implement a python class for winter and rain, number 7"
POEM = "who wrote the song of rain and ships, number 7"


@pytest.fixture(scope="session")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("quality") / "q.rkq"
    QualityModel.fit(rows(300), embedder="none").save(path)
    return path


def _config(file: Path, **quality: Any) -> dict[str, Any]:
    price = {"input": 0.1, "output": 0.4}
    dear = {"input": 2.0, "output": 8.0}
    return {
        "router": {"strategy": {"use": "cheapest", "min_quality": 0.7}},
        "quality": {"file": str(file), **quality},
        "deployments": [
            {
                "name": "small",
                "provider": "openai-compatible",
                "base_url": "http://127.0.0.1:9",
                "model": "s-1",
                "price": price,
                "quality": 0.6,
            },
            {
                "name": "large",
                "provider": "openai-compatible",
                "base_url": "http://127.0.0.1:9",
                "model": "l-1",
                "price": dear,
                "quality": 0.9,
            },
        ],
    }


def _router(config: dict[str, Any], **given: Any) -> Router:
    providers = {name: ScriptedProvider("yes") for name in ("small", "large")}
    return Router(config, providers=providers, **given)


def test_an_easy_prompt_goes_to_the_cheap_model_and_a_hard_one_to_the_dear(file: Path) -> None:
    with _router(_config(file)) as router:
        assert router.explain(POEM).chosen.name == "small"
        assert router.explain(CODE).chosen.name == "large"
        assert router.complete(CODE).attempts[0].deployment.name == "large"


async def test_awaited_and_streamed_requests_are_scored_alike(file: Path) -> None:
    router = _router(_config(file))
    assert (await router.acomplete(POEM)).attempts[0].deployment.name == "small"
    stream = router.astream(CODE)
    async for _ in stream:
        pass
    assert stream.result.attempts[0].deployment.name == "large"
    await router.aclose()


def test_the_decision_says_what_was_learned_and_keeps_it(file: Path) -> None:
    with _router(_config(file)) as router:
        decision = router.explain(CODE)
    first = decision.ranked[0].candidate
    assert (first.quality_source, first.quality_inferred) == ("learned", False)
    assert first.quality_low <= first.quality == decision.signals.quality["large"].value
    assert any("learned from 300 rows, trust" in note for note in decision.notes)
    assert decision.to_dict()["ranked"][0]["quality_source"] == "learned"


def test_a_pinned_quality_stands(file: Path) -> None:
    config = _config(file)
    config["deployments"][0].update(quality=0.95, pin=True)
    with _router(config) as router:
        assert router.explain(CODE).chosen.name == "small"
        assert router.explain(CODE).ranked[0].quality == 0.95


def test_deployments_are_found_by_model_or_alias_and_others_keep_their_number(file: Path) -> None:
    config = _config(file, alias={"s-1": "small"})
    config["deployments"][0]["name"] = "mini"
    config["deployments"][1].update(name="big", model="large")
    config["deployments"].append(
        {
            "name": "other",
            "provider": "openai-compatible",
            "base_url": "http://127.0.0.1:9",
            "model": "o",
            "quality": 0.4,
            "price": {"input": 1, "output": 1},
        }
    )
    providers = {name: ScriptedProvider("yes") for name in ("mini", "big", "other")}
    with Router(config, providers=providers) as router:
        found = {r.deployment.name: r.candidate.quality_source for r in router.explain(CODE, strategy="best").ranked}
    assert found == {"mini": "learned", "big": "learned", "other": "configured"}


def test_a_damaged_file_is_an_error_when_the_router_is_made(file: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "q.rkq"
    damaged.write_bytes(file.read_bytes()[:-50])
    with pytest.raises(ConfigError, match="damaged"):
        _router(_config(damaged))


class _Broken(Scorer):
    def score(self, request: Any, deployments: Any) -> Any:
        raise RuntimeError("no")


class _Mine:
    @hookimpl
    def routekit_scorers(self) -> list[ScorerPlugin]:
        return [ScorerPlugin(name="broken", factory=lambda options, context: _Broken())]


def test_a_scorer_that_fails_is_left_out_with_an_event(file: Path) -> None:
    config = _config(file)
    config["quality"] = {"use": "broken"}
    with _router(config, plugins=[_Mine()]) as router:
        seen: list[Any] = []
        router._engine._notify._observers = (seen.append,)
        result = router.complete(CODE)
    assert result.text == "yes"
    assert result.attempts[0].deployment.name == "large"  # by the configured numbers
    assert [event.kind for event in seen if isinstance(event, PluginBypassed)] == ["scorer"]


def test_the_built_in_embedders_are_where_their_names_say() -> None:
    import importlib

    from routekit.quality.embedders import BUILT_IN

    for where in BUILT_IN.values():
        module, _, function = where.partition(":")
        assert callable(getattr(importlib.import_module(module), function))
