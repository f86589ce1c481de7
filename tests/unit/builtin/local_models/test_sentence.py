from __future__ import annotations

import shutil
from pathlib import Path

import numpy
import pytest

from routekit.builtin.local_models.sentence import (
    DIMENSIONS,
    SentenceEmbedder,
    find_sentence_weights,
    sentence_embedder,
)
from routekit.builtin.providers.local.provider import LocalOptions, LocalProvider
from routekit.errors import ModelNotFoundError, ProviderSetupError
from routekit.plugin import ProviderCall
from routekit.types import Deployment, Model

FOLDER = find_sentence_weights()
pytestmark = pytest.mark.skipif(FOLDER is None, reason="needs `routekit models pull all-minilm-l6-v2`")
HERE = Deployment(name="e", provider="local", model=Model(id="all-minilm-l6-v2"))


def test_the_vectors_are_those_that_the_model_s_authors_publish() -> None:
    vectors, tokens = sentence_embedder().embed(["This is an example sentence", "Each sentence is converted"])
    assert vectors.shape == (2, DIMENSIONS)
    assert tokens == 13
    # The first figures of the model card's own example.
    assert numpy.allclose(vectors[0][:5], [0.0676569, 0.0634959, 0.0487131, 0.0793049, 0.0374480], atol=1e-4)
    assert numpy.allclose(numpy.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_a_text_has_the_same_vector_in_any_company() -> None:
    texts = [f"{'word ' * n}number {n}" for n in range(70)]
    together, _ = sentence_embedder().embed(texts)
    for place in (0, 33, 69):
        alone, _ = sentence_embedder().embed([texts[place]])
        assert numpy.allclose(together[place], alone[0], atol=1e-4)
    assert sentence_embedder().embed([])[0].shape == (0, DIMENSIONS)
    assert numpy.isfinite(sentence_embedder().embed(["", "x" * 100_000])[0]).all()


def test_other_weights_are_refused(tmp_path: Path) -> None:
    assert FOLDER is not None
    for name in ("config.json", "tokenizer.json"):
        shutil.copy(FOLDER / name, tmp_path)
    with pytest.raises(ProviderSetupError, match="models pull"):
        SentenceEmbedder(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"something else")
    with pytest.raises(ProviderSetupError, match="not the published model"):
        SentenceEmbedder(tmp_path)


def test_it_serves_as_an_embedder_and_gives_no_answers() -> None:
    provider = LocalProvider(LocalOptions())
    found = provider.embed(HERE, ["a", "b"])
    assert len(found.vectors) == 2
    assert found.model == "all-minilm-l6-v2"
    with pytest.raises(ModelNotFoundError, match="embeddings"):
        provider.complete(ProviderCall(deployment=HERE, messages=({"role": "user", "content": "hi"},)))
