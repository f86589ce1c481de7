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
        self._digest: str | None = None

    @property
    def digest(self) -> str:
        """The same for the same weights: a hash of what a few fixed texts become, rounded to what machines agree on."""
        if self._digest is None:
            if self._embed is None:
                self._digest = "none"
            else:
                import numpy as np

                rounded = np.round(self(_PROBE) * 100).astype(np.int8)
                self._digest = hashlib.sha256(rounded.tobytes()).hexdigest()[:16]
        return self._digest

    def __call__(self, texts: Sequence[str]) -> NDArray[Any]:
        """Unit vectors of texts; a text without tokens is all zeros; without an embedder no dimension at all."""
        import numpy as np

        if self._embed is None:
            return np.zeros((len(texts), 0), dtype=np.float32)
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
