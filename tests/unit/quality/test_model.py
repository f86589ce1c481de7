"""The learned model: what it promises about predictions, files, feedback and bad input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.unit.quality.conftest import bag, numpy, rows

from routekit.errors import ConfigError, InvalidInputError
from routekit.quality import QualityModel


def test_learns_which_prompts_the_small_model_can_serve(fitted: Any) -> None:
    code, poem = fitted.predict(
        ["implement a python class for winter and rain, number 7", "who wrote the song of rain and ships, number 7"]
    )
    large, small = fitted.models.index("large"), fitted.models.index("small")
    assert code[large] - code[small] > 0.3
    assert abs(poem[large] - poem[small]) < 0.3
    assert fitted.report["gate"] > 0
    assert fitted.report["aiq_gain"][0] >= 0


def test_one_prompt_alone_gets_what_it_gets_among_others(fitted: Any) -> None:
    prompts = [row["prompt"] for row in rows(40, seed=9)]
    together = fitted.predict(prompts)
    alone = numpy.concatenate([fitted.predict([prompt]) for prompt in prompts])
    assert (together == alone).all()


def test_the_same_rows_give_the_same_model(fitted: Any) -> None:
    again = QualityModel.fit(rows(300), embedder=bag)
    prompts = [row["prompt"] for row in rows(20, seed=5)]
    assert (again.predict(prompts) == fitted.predict(prompts)).all()


def test_a_stranger_gets_the_averages(fitted: Any) -> None:
    estimate = fitted.estimate("ζητείται ελπίς " * 40 + "!!!!" * 300)
    means = numpy.array([fitted.report["means"][name] for name in fitted.models])
    assert estimate.trust < 0.5
    assert numpy.abs(estimate.values - means).max() < 0.25


def test_where_nothing_can_be_learned_the_averages_are_what_comes_out() -> None:
    noise = rows(200)
    flips = numpy.random.default_rng(3).random((200, 2))
    for row, (small, large) in zip(noise, flips, strict=True):
        row["scores"] = {"small": float(small < 0.5), "large": float(large < 0.8)}
    model = QualityModel.fit(noise, embedder=bag)
    predicted = model.predict([row["prompt"] for row in rows(50, seed=8)])
    assert numpy.abs(predicted - numpy.array([model.report["means"][n] for n in model.models])).max() < 0.2


def test_predictions_are_probabilities_whatever_the_text(fitted: Any) -> None:
    texts = ["", " ", "a" * 300_000, "\x00\ud800", "1" * 5000, "A. B\nB. C", "😀" * 100, "İ" * 50]
    predicted = fitted.predict(texts)
    assert predicted.shape == (len(texts), 2)
    assert numpy.isfinite(predicted).all()
    assert ((predicted >= 0) & (predicted <= 1)).all()


def test_messages_are_read_by_their_last_user_turn(fitted: Any) -> None:
    text = "sort the list of tuples winter and rain"
    messages = [{"role": "user", "content": "hello"}, {"role": "user", "content": [{"type": "text", "text": text}]}]
    assert (fitted.predict([messages]) == fitted.predict([text])).all()


def test_a_file_brings_back_the_same_model(fitted: Any, tmp_path: Path) -> None:
    path = tmp_path / "q.rkq"
    fitted.save(path)
    loaded = QualityModel.load(path, embedder=bag)
    prompts = [row["prompt"] for row in rows(20, seed=4)]
    assert loaded.models == fitted.models
    assert numpy.abs(loaded.predict(prompts) - fitted.predict(prompts)).max() < 1e-3
    assert loaded.report == fitted.report
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("damage", ["cut", "flipped", "other", "empty", "missing", "newer"])
def test_a_wrong_file_is_refused_with_what_to_do(fitted: Any, tmp_path: Path, damage: str) -> None:
    from routekit.quality import storage

    path = tmp_path / "q.rkq"
    fitted.save(path)
    data = bytearray(path.read_bytes())
    if damage == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "flipped":
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    elif damage == "other":
        path.write_bytes(b"PK\x03\x04" + bytes(100))
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "missing":
        path.unlink()
    else:
        storage.write(path, {"version": 99}, {})
    with pytest.raises(ConfigError, match="Fit it again"):
        QualityModel.load(path, embedder=bag)


def test_a_file_without_a_part_is_refused(tmp_path: Path) -> None:
    from routekit.quality import storage

    path = tmp_path / "q.rkq"
    storage.write(path, {"models": ["a", "b"]}, {})
    with pytest.raises(ConfigError, match="lacks a part"):
        QualityModel.load(path)


def test_another_embedder_is_refused(fitted: Any, tmp_path: Path) -> None:
    path = tmp_path / "q.rkq"
    fitted.save(path)
    with pytest.raises(ConfigError, match="was fitted with the embedder"):
        QualityModel.load(path, embedder=lambda texts: numpy.ones((len(texts), 23)))
    with pytest.raises(ConfigError, match="embedder of its own"):
        QualityModel.load(path)


def test_an_embedder_that_only_rounds_differently_is_the_same(fitted: Any, tmp_path: Path) -> None:
    path = tmp_path / "q.rkq"
    fitted.save(path)
    model = QualityModel.load(path, embedder=lambda texts: bag(texts) + 1e-6)
    assert model.predict(["who wrote the song of rain and ships, number 7"]).shape == (1, 2)
    assert model.predict([]).shape == (0, 2)


def test_feedback_moves_an_estimate_and_no_further_than_its_bound(fitted: Any, tmp_path: Path) -> None:
    fitted.save(tmp_path / "q")
    model = QualityModel.load(tmp_path / "q", embedder=bag)
    prompt = "who wrote the song of rain and ships"
    place = model.models.index("small")
    before = model.predict([prompt])[0]
    for _ in range(400):
        model.update(prompt, "small", 0.0)
    after = model.predict([prompt])[0]
    assert before[place] - 0.15 - 1e-9 <= after[place] < before[place] - 0.1
    assert after[1 - place] == before[1 - place]
    model.save(tmp_path / "r")
    assert QualityModel.load(tmp_path / "r", embedder=bag).predict([prompt])[0] == pytest.approx(after)


def test_feedback_that_only_flips_coins_changes_nothing(fitted: Any, tmp_path: Path) -> None:
    fitted.save(tmp_path / "q")
    model = QualityModel.load(tmp_path / "q", embedder=bag)
    rng = numpy.random.default_rng(1)
    prompts = [row["prompt"] for row in rows(200, seed=3)]
    estimates = model.predict(prompts)
    for prompt, values in zip(prompts, estimates, strict=True):
        model.update(prompt, "small", float(rng.random() < values[model.models.index("small")]))
    assert numpy.abs(model.predict(prompts) - estimates).max() <= 0.15 + 1e-9


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"model": "nobody"}, "not in this quality model"),
        ({"score": 1.5}, "number from 0 to 1"),
        ({"score": float("nan")}, "number from 0 to 1"),
        ({"propensity": 0.0}, "no chance"),
        ({"weight": 1e9}, "out of range"),
    ],
)
def test_feedback_that_makes_no_sense_is_refused(fitted: Any, given: dict[str, Any], said: str) -> None:
    arguments = {"prompt": "x", "model": "small", "score": 1.0, **given}
    with pytest.raises(InvalidInputError, match=said):
        fitted.update(**arguments)


_ROW = {"prompt": "x", "scores": {"a": 1, "b": 0}}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "there are no rows"),
        ([{"prompt": "x"}], "row 1 has no 'scores'"),
        ([{"prompt": "x", "scores": {"a": None, "b": None}}], "no row has a score"),
        ([{"prompt": "x", "scores": {"a": 1}}], "only 'a' has scores"),
        ([_ROW, {"prompt": "y", "scores": {"a": float("nan"), "b": 0}}], "row 2 scores 'a' with nan"),
        ([_ROW, {"prompt": "y", "scores": {"a": 7, "b": 0}}], "row 2 scores 'a' with 7"),
        ([_ROW, {"prompt": "y", "scores": {"a": "yes", "b": 0}}], "row 2 scores 'a'"),
        ([{"prompt": "  ", "scores": {"a": 1, "b": 0}}], "no text"),
        ([{**_ROW, "cost": {"a": -1}}], "has the cost -1"),
        ([_ROW] * 500, "1 distinct prompts"),
        (["x"], "row 1 is a str"),
    ],
)
def test_rows_that_cannot_be_used_are_named(given: list[Any], said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        QualityModel.fit(given, embedder="none")


def test_missing_scores_and_no_embedder_are_enough() -> None:
    given = rows(200)
    for number, row in enumerate(given):
        row["scores"]["large" if number % 3 else "small"] = None
        row.pop("task")
        row.pop("cost")
    model = QualityModel.fit(given, embedder="none")
    assert model.predict(["sort the list of tuples iron and rain"]).shape == (1, 2)
    assert model.report["observed"] == 0.5


def test_copies_of_a_prompt_are_one_row() -> None:
    given = rows(60)
    model = QualityModel.fit(given * 5, embedder=bag)
    assert model.report["distinct"] == 60
    assert model.report["rows"] == 300


def test_more_rows_than_landmarks_are_fitted_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    from routekit.quality import features, fitting

    monkeypatch.setattr(fitting, "LANDMARKS", 100)
    monkeypatch.setattr(features, "BLOCK", 64)
    model = QualityModel.fit(rows(400), embedder=bag)
    code = model.predict(["implement a python class for winter and rain"])[0]
    assert code[model.models.index("large")] - code[model.models.index("small")] > 0.3


def test_a_task_that_is_named_counts(fitted: Any) -> None:
    with pytest.raises(InvalidInputError, match="one for each"):
        fitted.predict(["x", "y"], tasks=["code"])
    unnamed, unknown = fitted.predict(["x"]), fitted.predict(["x"], tasks=["never heard of"])
    assert (unnamed == unknown).all()


@pytest.mark.parametrize("name", ["static", "sentence"])
def test_built_in_embedders_give_a_text_the_same_vector_alone_and_among_others(name: str) -> None:
    from routekit.errors import ProviderSetupError
    from routekit.quality.embedders import Embedder

    try:
        embedder = Embedder(name)
    except ProviderSetupError as error:
        pytest.skip(str(error))
    texts = ["Short.", "A rather longer sentence about rivers, and what swims in them.", "", "def f(x): return x"]
    assert (embedder(texts) == numpy.concatenate([embedder([text]) for text in texts])).all()


def test_rows_with_costs_check_a_model_that_was_fitted_without() -> None:
    from routekit.quality.evaluation import evaluate_rows

    bare = rows(200)
    for row in bare:
        del row["cost"]
    found = evaluate_rows(QualityModel.fit(bare, embedder=bag), rows(150, seed=7))
    assert found["aiq"]["learned"] > found["aiq"]["zero"]
    assert found["best_static"]["cost_usd"] == pytest.approx(0.02)
