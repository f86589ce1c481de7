"""routekit.toml: what is read, and what is refused with which words."""

from __future__ import annotations

from pathlib import Path

import pytest

from routekit import ConfigError, InvalidInputError, PluginNotFoundError, Router
from routekit.config import Config
from routekit.config.load import home_of
from routekit.types import OffPeak, Tier

TABLE = {"name": "a", "provider": "openai-compatible", "model": "m", "base_url": "http://127.0.0.1:9/v1"}

FILE = """
[router]
strategy = "frugal"
deadline_s = 60

[[deployments]]
name = "mini"
provider = "openai-compatible"
model = "gpt-5-mini"
base_url = "https://api.example.com/v1"
api_key_env = "OPENAI_API_KEY"
group = "default"
quality = 0.62
price = { input = 0.25, cached_input = 0.025, output = 2.0 }
limits = { rpm = 500, tpm = 200000, concurrency = 20 }
region = "eu"
retention = "zero"
tags = ["external"]

[strategies.frugal]
use = "cheapest"
min_quality = 0.5

[[steps]]
when = { kind = "plan" }
strategy = "best"

[[budgets]]
scope = "project:search"
limit_usd = 20
window = "day"
on_exceeded = "block"

[cache]
use = ["memory", "disk"]
ttl_s = 3600
scope = "project"

[[compressors]]
use = "json-minify"
"""


def test_the_whole_shape_is_read(tmp_path: Path) -> None:
    file = tmp_path / "routekit.toml"
    file.write_text(FILE)
    with Router.from_file(file) as router:
        [mini] = router.deployments
        assert mini.price is not None
        assert (mini.price.input, mini.price.cached_input, mini.price.output) == (
            250_000_000,
            25_000_000,
            2_000_000_000,
        )
        assert (mini.limits.rpm, mini.limits.concurrency) == (500, 20)
        assert (mini.quality, mini.region, mini.retention, mini.tags) == (0.62, "eu", "zero", {"external"})
        assert mini.model.sources["price"] == "configuration"
        assert mini.model.context_window == 272_000, "the catalogue fills what the file leaves open"
        assert repr(router.default_strategy) == "Cheapest(min_quality=0.5)"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"ruter": {}}, "Did you mean 'router'"),
        ({"router": {"stratgy": "best"}}, "router.stratgy"),
        ({"deployments": [{**TABLE, "qualty": 1}]}, "Did you mean 'quality'"),
        ({"deployments": [{**TABLE, "base_ur": "x"}]}, "Did you mean 'base_url'"),
        ({"deployments": [{**TABLE, "quality": 2}]}, "deployments.0.quality"),
        ({"deployments": [{**TABLE, "price": {"input": 1}}]}, "deployments.0.price.output: this key is required"),
        ({"deployments": [{**TABLE, "capabilities": ["fly"]}]}, "unknown capability 'fly'"),
        ({"deployments": [TABLE, TABLE]}, "two deployments are called 'a'"),
        ({"deployments": []}, "no deployments are configured"),
        ({"groups": {"big": {"strategy": "best"}}}, "group 'big' has no deployments"),
        ({"router": {"group": "big"}}, "group 'big' has no deployments"),
        ({"budgets": [{"scope": "planet:earth", "limit_usd": 1}]}, "a scope is"),
        ({"budgets": [{"scope": "global", "limit_usd": 1, "timezone": "Mars/X"}]}, "time zone"),
        ({"budgets": [{"scope": "global", "limit_usd": -1}]}, "budgets.0.limit_usd"),
        ({"cache": {"use": ["memory"], "tll_s": 3}}, "did you mean 'ttl_s'"),
        ({"cache": {"use": ["memory"], "memory": {"max_bm": 3}}}, "max_bm"),
        ({"strategies": {"x": {"use": "cheapest", "min_qality": 0.5}}}, "strategies.x.min_qality"),
        ({"strategies": {"x": {"min_quality": 0.5}}}, "strategies.x.use"),
        (
            {"strategies": {"x": {"use": "per-step", "default": "y"}, "y": {"use": "per-step", "default": "x"}}},
            "circle",
        ),
        ({"compressors": [{"name": "trim"}]}, "compressors.0.use"),
    ],
)
def test_what_is_wrong_is_named_with_the_fix(change: dict, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Router.from_dict({"deployments": [TABLE], **change})
    assert told in str(caught.value)


@pytest.mark.parametrize(
    "table",
    [
        {**TABLE, "api_key": "sk-verysecretverysecret"},
        {**TABLE, "options": {"token": "abcdefgh"}},
        {**TABLE, "headers": {"Authorization": "Bearer verysecretverysecret"}},
        {**TABLE, "tags": ["sk-verysecretverysecret"]},
        {**TABLE, "api_key_env": "sk-verysecretverysecret"},
    ],
)
def test_a_key_in_configuration_is_refused_and_not_repeated(table: dict) -> None:
    with pytest.raises(ConfigError) as caught:
        Router.from_dict({"deployments": [table]})
    assert "secret" not in str(caught.value).replace("a key itself", "")
    assert "api_key_env" in str(caught.value)


def test_unknown_names_are_told_with_the_known_ones() -> None:
    with pytest.raises(PluginNotFoundError, match="did you mean 'cheapest'"):
        Router.from_dict({"deployments": [TABLE], "router": {"strategy": "cheapst"}})
    named = {"frugal": {"use": "cheapest"}}
    with pytest.raises(PluginNotFoundError, match="did you mean 'frugal'"):
        Router.from_dict({"deployments": [TABLE], "strategies": named, "router": {"strategy": "frugl"}})
    with pytest.raises(PluginNotFoundError, match="openai-compatible"):
        Router.from_dict({"deployments": [{**TABLE, "provider": "openai"}]})
    with pytest.raises(PluginNotFoundError, match="known: disk, memory"):
        Router.from_dict({"deployments": [TABLE], "cache": {"use": ["redis"]}})


@pytest.mark.parametrize(("text", "told"), [("[router", "no valid TOML"), (None, "routekit init")])
def test_an_unreadable_file_names_itself(tmp_path: Path, text: str | None, told: str) -> None:
    file = tmp_path / "x.toml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ConfigError, match=told) as caught:
        Router.from_file(file)
    assert str(file) in str(caught.value)


def test_the_nearest_file_then_the_environment_then_local_models(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    assert [d.name for d in Config.find({}, inner).deployments] == ["smollm2", "smollm2-best-of-5"]
    keyed = Config.find({"OPENAI_API_KEY": "sk-anything-at-all"}, inner)
    assert {d.provider for d in keyed.deployments} == {"openai-compatible"}
    assert "sk-anything" not in repr(keyed)
    (tmp_path / "routekit.toml").write_text(FILE)
    assert [d.name for d in Config.find({}, inner).deployments] == ["mini"]
    other = tmp_path / "other.toml"
    other.write_text(FILE.replace('"mini"', '"maxi"'))
    assert [d.name for d in Config.find({"ROUTEKIT_CONFIG": str(other)}, inner).deployments] == ["maxi"]


def test_state_lives_where_the_environment_says(tmp_path: Path) -> None:
    assert home_of({"ROUTEKIT_HOME": str(tmp_path)}) == tmp_path
    assert home_of({}).name == "routekit"


def test_a_strategy_instance_may_stand_wherever_one_is_named() -> None:
    from routekit import Step
    from routekit.builtin.strategies import Best, Cheapest, PerStep

    router = Router.from_dict(
        {
            "deployments": [TABLE, {**TABLE, "name": "b", "group": "big"}],
            "router": {"strategy": Cheapest(min_quality=0.2)},
            "groups": {"big": {"strategy": Best()}},
            "steps": [{"when": {"kind": "plan"}, "strategy": PerStep(plan="mine")}],
            "strategies": {"mine": Best(), "other": "mine"},
        }
    )
    assert repr(router.default_strategy) == "Cheapest(min_quality=0.2)"
    assert router.resolve_strategy("other") == router.resolve_strategy("mine") == Best()
    assert router.explain("hi", group="big").strategy == "best"
    assert router.explain("hi", step=Step(kind="plan")).path == ("per-step", "best")
    with pytest.raises(ConfigError, match="a strategy is a name"):
        Router.from_dict({"deployments": [TABLE], "router": {"strategy": 3}})


@pytest.mark.parametrize(
    ("typo", "meant"),
    [({"stratgy": "best"}, "strategy"), ({"scope": {"user": "u"}}, "scopes"), ({"scopes": {"projct": "x"}}, "project")],
)
def test_a_misspelt_argument_is_not_sent_on_in_silence(typo: dict, meant: str) -> None:
    with Router.from_dict({"deployments": [TABLE]}) as router, pytest.raises(InvalidInputError, match=f"'{meant}'"):
        router.explain("hi", **typo)
    for passed in ("temperature", "stop", "store", "models", "modalities", "top_p", "seed", "tool_choice"):
        router = Router.from_dict({"deployments": [TABLE]})
        router.explain("hi", **{passed: 1})


def test_a_price_may_have_tiers_hours_and_services() -> None:
    table = {
        "input": 1, "output": 4, "audio_input": 8, "as_of": "2026-11-01", "batch_percent": 50,
        "tiers": [{"above_tokens": 200_000, "input": 2}],
        "off_peak": [{"start": "16:30", "end": "00:30", "percent": 25, "timezone": "Asia/Shanghai"}],
    }  # fmt: skip
    price = Config.from_dict({"deployments": [{**TABLE, "price": table}]}).deployments[0].price.to_price()
    assert price.tiers == (Tier(above_tokens=200_000, input=2 * 10**9),)
    assert price.off_peak == (OffPeak(start_minute=990, end_minute=30, percent=25, timezone="Asia/Shanghai"),)
    assert price.as_of == "2026-11-01"
    assert price.for_request(300_000, "flex").input == 10**9
    assert price.for_request(10, "batch").audio_input == 4 * 10**9
    for wrong in (
        {"tiers": [{"above_tokens": 0}]},
        {"off_peak": [{"start": "25:00", "end": "00:30", "percent": 25}]},
        {"off_peak": [{"start": "05:00", "end": "00:30", "percent": 25, "timezone": "Mars/Base"}]},
        {"batch_percent": 200},
        {"as_of": "yesterday"},
    ):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            Config.from_dict({"deployments": [{**TABLE, "price": {"input": 1, "output": 1, **wrong}}]})


def test_a_required_key_that_is_misspelt_is_told_by_the_key_that_was_written() -> None:
    with pytest.raises(ConfigError, match=r"deployments\.0\.provider.*Did you mean it by 'provder'"):
        Config.from_dict({"deployments": [{"name": "a", "provder": "litellm", "model": "m"}]})
