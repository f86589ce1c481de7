"""`routekit quality`: from rows to a file, and from a file to figures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.unit.quality.conftest import rows

from routekit.cli import main


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path, Path]:
    fit, check = tmp_path / "fit.jsonl", tmp_path / "check.jsonl"
    fit.write_text("\n".join(json.dumps(row) for row in rows(200)))
    check.write_text("\n".join(json.dumps(row) for row in rows(150, seed=7)))
    return fit, check, tmp_path / "q.rkq"


def _run(*arguments: str | Path, code: int = 0) -> str:
    done = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert done.exit_code == code, done.output
    return done.stdout if code == 0 else done.output


def test_fits_and_evaluates(files: tuple[Path, Path, Path]) -> None:
    fit, check, model = files
    assert "learned from 200 rows" in _run("quality", "fit", fit, "-o", model, "--embedder", "none")
    picture = model.with_suffix(".svg")
    found = json.loads(_run("quality", "evaluate", check, "--model", model, "--json", "--picture", picture))
    assert found["aiq"]["oracle"] >= found["aiq"]["learned"] > found["aiq"]["zero"]
    assert found["brier_gain"] > 0.05
    assert found["apgr"] > 0.6
    assert found["rows"] == 150
    assert picture.read_text().startswith("<svg")
    said = _run("quality", "evaluate", check, "--model", model)
    assert "cost at equal quality".upper() in said
    assert "never" not in said.splitlines()[-1]


def test_rows_without_the_models_of_the_file_are_refused(files: tuple[Path, Path, Path], tmp_path: Path) -> None:
    fit, _, model = files
    _run("quality", "fit", fit, "-o", model, "--embedder", "none")
    other = tmp_path / "other.jsonl"
    other.write_text(json.dumps({"prompt": "x", "scores": {"small": 1, "nobody": 0}}))
    assert "no row has scores of all of large, small" in _run("quality", "evaluate", other, "--model", model, code=2)


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "no rows"), ("not json", "line 1"), ("[1]", "JSON object"), ('{"prompt": "x"}', "no 'scores'")],
)
def test_files_that_are_no_rows_are_refused(tmp_path: Path, text: str, said: str) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text(text)
    assert said in _run("quality", "fit", bad, "-o", tmp_path / "q", code=2)
    assert not (tmp_path / "q").exists()
