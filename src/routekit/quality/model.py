"""`QualityModel`: which model is good enough for this prompt, learned from labelled rows."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from routekit.errors import ConfigError, InvalidInputError
from routekit.plugin import new_lock_after_fork
from routekit.quality import storage
from routekit.quality.correction import Correction
from routekit.quality.embedders import Embedder
from routekit.quality.features import Looks, Scale, looks
from routekit.quality.predictor import Predictor
from routekit.quality.rows import labelled, last_turn

if TYPE_CHECKING:
    from numpy.typing import NDArray

COMPONENTS = 16
"""Of a prompt's vector so many numbers, at most, take part in corrections."""

MOST_WEIGHT = 10.0
"""The most rows that one feedback counts for, however unlikely the choice was."""

Prompt = "str | Sequence[Mapping[str, Any]]"


class Estimate(NamedTuple):
    """What is expected of each model for one prompt: `values` in the order of the models; `trust` 0..1."""

    values: NDArray[Any]
    trust: float


class QualityModel:
    """Estimates, per prompt and model, how good the answer will be: 0 to 1.

    Never worse on held-out rows than the best mix of static choices: where the gate finds no gain, or a prompt is
    unlike every row of the fit, the models' averages are what comes out. Safe in threads.

    >>> rows = [{"prompt": f"{i} plus {i}?", "scores": {"small": i % 2, "large": 1}} for i in range(40)]
    >>> model = QualityModel.fit(rows, embedder="none")
    >>> model.models, model.predict(["7 plus 7?"]).shape
    (('large', 'small'), (1, 2))
    """

    def __init__(
        self, *, models: Sequence[str], predictor: Predictor, embedder: Embedder, report: Mapping[str, Any]
    ) -> None:
        self.models: tuple[str, ...] = tuple(models)
        self.report: dict[str, Any] = dict(report)
        self.embedder = embedder
        self._predictor = predictor
        self._corrections: dict[int, Correction] = {}
        self._lock = threading.Lock()
        new_lock_after_fork(self)

    @classmethod
    def fit(
        cls,
        rows: Iterable[Mapping[str, Any]],
        embedder: Any = None,
        seed: int = 0,
        *,
        advance: Callable[[int], None] | None = None,
    ) -> Self:
        """Learns from rows ``{"prompt" | "messages", "scores": {model: 0..1 | None}, "task"?, "cost"?}``.

        `embedder` is "static" (the default, with the extra ``local``), "sentence", "none", or a function of texts.
        The same rows and seed give the same model. `advance` is told of rows as they are read.

        Raises:
            InvalidInputError: rows that cannot be used, or too few of them; says which and what to do.
            ProviderSetupError: the embedder needs a package that is not installed.
        """
        from routekit.quality.fitting import fit

        table = labelled(rows)
        found = Embedder(embedder)
        predictor, report = fit(table, found, seed, advance)
        report = {**report, "embedder": found.name, "embedder_digest": found.digest, "seed": seed}
        return cls(models=table.models, predictor=predictor, embedder=found, report=report)

    def predict(self, prompts: Sequence[Any] | str, tasks: Sequence[str | None] | None = None) -> NDArray[Any]:
        """An array (prompts, models) of float64, columns in the order of `models`. A prompt is a text or messages.

        `tasks` are names that rows of the fit had, where they are known; others are ignored. One prompt alone gets
        exactly what it gets among others.

        Raises:
            InvalidInputError: a prompt is neither text nor messages, or there are not as many tasks.
        """
        import numpy as np

        texts = _texts(prompts)
        if tasks is not None and len(tasks) != len(texts):
            raise InvalidInputError(f"{len(tasks)} tasks were given for {len(texts)} prompts; give one for each")
        found = [estimate.values for estimate in self._estimates(texts, tasks)]
        return np.stack(found) if found else np.zeros((0, len(self.models)))

    def estimate(self, prompt: Any, task: str | None = None) -> Estimate:
        """What `predict` says of one prompt, with how far it is to be believed."""
        return self._estimates(_texts([prompt]), [task])[0]

    def update(
        self, prompt: Any, model: str, score: float, propensity: float | None = None, weight: float = 1.0
    ) -> None:
        """Learns from one answer: `score` 0..1 for `model` at `prompt`.

        The correction is bounded, and applied once it has proved the better prediction. `propensity` is the chance
        that the model had to be chosen: rare choices count for more, up to `MOST_WEIGHT` rows. `weight` lets a caller
        who hears much from one source count it for less.

        Raises:
            InvalidInputError: an unknown model, or numbers out of range.
        """
        if model not in self.models:
            raise InvalidInputError(f"model {model!r} is not in this quality model; it knows {', '.join(self.models)}")
        if isinstance(score, bool):
            score = float(score)
        if not isinstance(score, (int, float)) or not 0 <= score <= 1:
            raise InvalidInputError(f"score={score!r} is no number from 0 to 1")
        if propensity is not None and not 0 < propensity <= 1:
            raise InvalidInputError(f"propensity={propensity!r} is no chance; it is above 0 and at most 1")
        if not 0 < weight <= MOST_WEIGHT:
            raise InvalidInputError(f"weight={weight!r} is out of range; it is above 0 and at most {MOST_WEIGHT:g}")
        seen = looks(_texts([prompt]), self.embedder)
        values, _, directions = self._predictor.one(seen, 0)
        numbers = self._numbers(seen, 0, directions)
        place = self.models.index(model)
        with self._lock:
            correction = self._corrections.get(place)
            if correction is None:
                correction = self._corrections[place] = Correction(len(numbers))
            correction.learn(numbers, score - float(values[place]), min(weight / (propensity or 1.0), MOST_WEIGHT))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes a file that `load` reads; no pickle. Raises ConfigError where it cannot be written."""
        import numpy as np

        predictor, scale = self._predictor, self._predictor.scale
        seen = np.flatnonzero(np.abs(predictor.words).sum(axis=1))
        arrays: dict[str, NDArray[Any]] = {
            "means": predictor.means, "rotation": predictor.rotation, "surface": predictor.surface,
            "landmarks": predictor.landmarks.astype(np.float16), "near": predictor.near,
            "buckets": seen.astype(np.int32), "words": predictor.words[seen].astype(np.float16),
            "probe": self.embedder.probe, "tasks": predictor.tasks,
            "centre": scale.centre, "mean": scale.mean, "spread": scale.spread,
            "rarity": scale.rarity.astype(np.float16),
        }  # fmt: skip
        with self._lock:
            corrected = sorted(self._corrections)
            for place in corrected:
                own = self._corrections[place]
                arrays[f"weights_{place}"], arrays[f"covariance_{place}"] = own.weights, own.covariance
            tallies = {str(p): [c.count, c.error, c.error_without] for p, c in sorted(self._corrections.items())}
        meta = {
            "models": list(self.models), "report": self.report, "embedder": self.embedder.name,
            "digest": self.embedder.digest, "width": predictor.width, "gate": predictor.gate,
            "trust": [predictor.trust_from, predictor.trust_to], "task_names": list(predictor.task_names),
            "corrections": tallies,
        }  # fmt: skip
        storage.write(path, meta, arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str], embedder: Any = None) -> Self:
        """Reads what `save` wrote. `embedder` is needed where it was the caller's own.

        Raises:
            ConfigError: the file is missing, damaged, newer, or was fitted with another embedder.
            ProviderSetupError: its embedder needs a package that is not installed.
        """
        import numpy as np

        meta, arrays = storage.read(path)
        name = str(path)
        try:
            wanted, digest = meta["embedder"], meta["digest"]
            if embedder is None and wanted == "own":
                raise ConfigError(
                    "the quality model was fitted with an embedder of its own", file=name,
                    fix="Give the same one as `embedder`.",
                )  # fmt: skip
            found = Embedder(wanted if embedder is None else embedder)
            if not found.is_like(arrays["probe"]):
                raise ConfigError(
                    f"the quality model was fitted with the embedder {wanted!r} ({digest}), "
                    f"and this one is {found.name!r} ({found.digest})",
                    file=name, fix="Use the embedder of the fit, or fit again.",
                )  # fmt: skip
            rarity = arrays["rarity"].astype(np.float32)
            words = np.zeros((len(rarity), arrays["words"].shape[1]), dtype=np.float32)
            words[arrays["buckets"]] = arrays["words"]
            scale = Scale(centre=arrays["centre"], mean=arrays["mean"], spread=arrays["spread"], rarity=rarity)
            landmarks = arrays["landmarks"].astype(np.float32)
            predictor = Predictor(
                scale=scale, means=arrays["means"], rotation=arrays["rotation"], surface=arrays["surface"],
                landmarks=landmarks, width=float(meta["width"]), near=arrays["near"],
                words=words, gate=float(meta["gate"]), trust_from=float(meta["trust"][0]),
                trust_to=float(meta["trust"][1]), tasks=arrays["tasks"], task_names=tuple(meta["task_names"]),
                squares=(landmarks * landmarks).sum(axis=1),
            )  # fmt: skip
            model = cls(models=meta["models"], predictor=predictor, embedder=found, report=meta["report"])
            for place, (count, error, without) in meta["corrections"].items():
                own = Correction(len(arrays[f"weights_{place}"]))
                own.weights, own.covariance = arrays[f"weights_{place}"], arrays[f"covariance_{place}"]
                own.count, own.error, own.error_without = int(count), float(error), float(without)
                model._corrections[int(place)] = own
        except (KeyError, IndexError, TypeError, ValueError) as error:
            if isinstance(error, (ConfigError, InvalidInputError)):
                raise
            raise ConfigError(
                "the quality model lacks a part", file=name, fix="Fit it again with `routekit quality fit`"
            ) from error
        return model

    def _estimates(self, texts: Sequence[str], tasks: Sequence[str | None] | None) -> list[Estimate]:
        import numpy as np

        seen = looks(texts, self.embedder)
        found = []
        for place in range(len(texts)):
            values, trust, directions = self._predictor.one(seen, place, tasks[place] if tasks else None)
            if self._corrections:
                numbers = self._numbers(seen, place, directions)
                values = values.copy()
                with self._lock:
                    for model, correction in self._corrections.items():
                        values[model] = np.clip(values[model] + correction.of(numbers), 0.0, 1.0)
            found.append(Estimate(values, trust))
        return found

    def _numbers(self, seen: Looks, place: int, directions: NDArray[Any]) -> NDArray[Any]:
        """What corrections are a function of: a constant, the learned directions, the first of the surface."""
        import numpy as np

        standard = self._predictor.scale.standard(seen.surfaces[place : place + 1])[0]
        return np.concatenate([[1.0], directions, standard[:COMPONENTS] / 4]).astype(np.float64)

    def __repr__(self) -> str:
        return f"QualityModel({', '.join(self.models)}; {self.report.get('rows', '?')} rows)"


def _texts(prompts: Any) -> list[str]:
    if isinstance(prompts, str):
        prompts = [prompts]
    found = []
    for place, prompt in enumerate(prompts):
        text = prompt if isinstance(prompt, str) else None
        if text is None and isinstance(prompt, Sequence):
            text = last_turn(prompt) or ""
        if text is None:
            raise InvalidInputError(f"prompt {place} is a {type(prompt).__name__}; give a text or a list of messages")
        found.append(text)
    return found
