"""Where a model's vectors come from: the static word vectors, the sentence model, none, or the caller's own."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from routekit.errors import InvalidInputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

BUILT_IN = {
    "static": "routekit.builtin.local_models.static:static_embedder",
    "sentence": "routekit.builtin.local_models.sentence:sentence_embedder",
}
"""Loaded by dotted name, like all built-in parts: this package knows none of them."""

_PROBE = ("How many moons has Mars?", "def f(x): return x + 1", "Der Zug ist um 7:15 Uhr abgefahren.")
"""Texts whose vectors tell one set of weights from another."""

ALIKE = 0.01
"""Unit vectors of the same weights differ less than this in every number, on whatever machine."""

Embed = Callable[[Sequence[str]], Any]


class Embedder:
    """Texts to unit vectors (rows, dimensions) of float32; `name` is what a file says, `digest` what it checks.

    `given` is "static", "sentence", "none", a function of a list of texts, or an object with `embed`; both may return
    an array or a pair of an array and a count of tokens. None is "static".

    Raises:
        InvalidInputError: `given` is none of these. ProviderSetupError: a package that it needs is missing.
    """

    def __init__(self, given: Any = None) -> None:
        given = "static" if given is None else given
        self._embed: Embed | None
        if isinstance(given, str):
            self.name = given
            if given == "none":
                self._embed = None
            elif given in BUILT_IN:
                module, _, function = BUILT_IN[given].partition(":")
                self._embed = getattr(importlib.import_module(module), function)().embed
            else:
                raise InvalidInputError(
                    f"embedder={given!r} is not known; give 'static', 'sentence', 'none' or a function of texts"
                )
        else:
            self.name = "own"
            found = getattr(given, "embed", given)
            if not callable(found):
                raise InvalidInputError(
                    f"embedder must be 'static', 'sentence', 'none', a function of texts or an object with embed(); "
                    f"got {type(given).__name__}"
                )
            self._embed = found
        self._alone = given == "sentence"  # padding in a batch would move a vector by a rounding error
        self._probe: NDArray[Any] | None = None

    @property
    def probe(self) -> NDArray[Any]:
        """What a few fixed texts become: it tells one set of weights from another."""
        if self._probe is None:
            self._probe = self(_PROBE)
        return self._probe

    @property
    def digest(self) -> str:
        """A hash of `probe`, for people to compare."""
        if self._embed is None:
            return "none"
        import numpy as np

        return hashlib.sha256(np.round(self.probe * 100).astype(np.int8).tobytes()).hexdigest()[:16]

    def is_like(self, probe: NDArray[Any]) -> bool:
        """Whether another embedder's `probe` is this one's, but for what arithmetic differs between machines."""
        import numpy as np

        own = self.probe
        return own.shape == probe.shape and bool(np.abs(own - probe).max(initial=0.0) < ALIKE)

    def __call__(self, texts: Sequence[str]) -> NDArray[Any]:
        """Unit vectors of texts; a text without tokens is all zeros; without an embedder no dimension at all."""
        import numpy as np

        if self._embed is None:
            return np.zeros((len(texts), 0), dtype=np.float32)
        if self._alone and len(texts) > 1:
            return np.concatenate([self([text]) for text in texts])
        if not len(texts):
            return np.zeros((0, self.probe.shape[1]), dtype=np.float32)
        found = self._embed(list(texts))
        if isinstance(found, tuple):
            found = found[0]
        vectors = np.asarray(found, dtype=np.float32)
        if vectors.ndim != 2 or len(vectors) != len(texts) or not np.isfinite(vectors).all():
            raise InvalidInputError(
                f"the embedder made an array of shape {vectors.shape} of {len(texts)} texts; "
                "a finite one of shape (texts, dimensions) is needed"
            )
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit: NDArray[Any] = vectors / np.where(norms > 0, norms, 1.0)
        return unit
