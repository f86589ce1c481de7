"""Text vectors from a static model: one table look-up per token, then the mean. No network, no torch.

The model is the 256-dimension one inside the `wordllama` package. Its two files are read here because
the package's own offline loader looks for the tokenizer in a folder that its wheel does not have.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from routekit.errors import ProviderSetupError
from routekit.plugin import Once

MODEL = "wordllama-l2-supercat-256"
DIMENSIONS = 256

_WEIGHTS = "weights/l2_supercat_256.safetensors"
_TOKENIZER = "tokenizers/l2_supercat_tokenizer_config.json"
_INSTALL = "pip install 'routekit-llm[local]'"


class StaticEmbedder:
    """Turns texts into unit vectors of 256 floats. Safe in threads.

    Good for routing and for picking sentences. Too blunt to tell a question from its opposite:
    "with" and "without" lie close together.
    """

    def __init__(self, folder: Path) -> None:
        """Reads the files below wordllama's package `folder`: 16 MB, some 0.1 s.

        Raises:
            ProviderSetupError: a package or a file is missing.
        """
        try:
            import numpy
            from safetensors.numpy import load_file
            from tokenizers import Tokenizer
        except ImportError as error:
            raise ProviderSetupError(f"embeddings need the package {error.name!r}; run {_INSTALL}") from error
        for name in (_WEIGHTS, _TOKENIZER):
            if not (folder / name).is_file():
                raise ProviderSetupError(f"embeddings need {folder / name}, which is not there; run {_INSTALL}")
        self._numpy = numpy
        self._table = load_file(folder / _WEIGHTS)["embedding.weight"].astype(numpy.float32)
        self._tokenizer = Tokenizer.from_file(str(folder / _TOKENIZER))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def embed(self, texts: Sequence[str]) -> tuple[Any, int]:
        """A float32 array of shape ``(len(texts), 256)``, and the tokens read. A text without tokens is all zeros."""
        numpy = self._numpy
        vectors = numpy.zeros((len(texts), self._table.shape[1]), dtype=numpy.float32)
        tokens = 0
        if len(texts) == 1:  # a batch wakes the tokenizer's threads, which costs more than one text
            encodings = [self._tokenizer.encode(texts[0], add_special_tokens=False)]
        else:
            encodings = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        for row, encoding in enumerate(encodings):
            if not encoding.ids:
                continue
            tokens += len(encoding.ids)
            mean = self._table[encoding.ids].mean(axis=0)
            vectors[row] = mean / (numpy.linalg.norm(mean) or 1.0)
        return vectors, tokens

    def similarities(self, text: str, others: Sequence[str]) -> list[float]:
        """The cosine similarity of a text to each of the others."""
        vectors, _ = self.embed([text, *others])
        scores: list[float] = (vectors[1:] @ vectors[0]).tolist()
        return scores


def static_embedder() -> StaticEmbedder:
    """The process's one embedder, read at the first call.

    Raises:
        ProviderSetupError: `wordllama` is not installed.
    """
    return _loaded()


def _load() -> StaticEmbedder:
    spec = importlib.util.find_spec("wordllama")
    if spec is None or spec.origin is None:
        raise ProviderSetupError(f"embeddings need the package 'wordllama'; run {_INSTALL}")
    return StaticEmbedder(Path(spec.origin).parent)


_loaded = Once(_load)
