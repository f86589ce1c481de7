"""A real, if untaught, model goes through llmlingua: what it keeps is arbitrary, what must stay is not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from routekit import Router
from routekit.errors import ConfigError
from routekit.plugin import Compressor
from routekit.testing import ScriptedProvider
from routekit.testing.contracts import CompressorContract
from routekit.types import RouteRequest, count_tokens
from routekit_llmlingua import LLMLingua

pytest.importorskip("llmlingua", reason="needs `pip install routekit-llmlingua`: torch and transformers")

WORDS = [f"word{n}" for n in range(200)] + ["the", "and", "of", "line", "hello", "next", "go", "on", "end", "now"]


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A BERT of one layer with random weights, saved as any model is."""
    import torch
    from transformers import BertConfig, BertForTokenClassification, BertTokenizerFast

    folder = tmp_path_factory.mktemp("models") / "tiny-bert-base-multilingual-cased"
    folder.mkdir()
    letters = list("abcdefghijklmnopqrstuvwxyz0123456789.,!?:;[]{}()\"'`-_/\\@#=<>+*&%$")
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *letters, *(f"##{c}" for c in letters)]
    (folder / "vocab.txt").write_text("\n".join(dict.fromkeys(vocabulary)))
    BertTokenizerFast(str(folder / "vocab.txt"), do_lower_case=False).save_pretrained(folder)
    torch.manual_seed(3)
    config = BertConfig(
        vocab_size=len(dict.fromkeys(vocabulary)), hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=512, num_labels=2,
    )  # fmt: skip
    BertForTokenClassification(config).save_pretrained(folder)
    return str(folder)


class TestContract(CompressorContract):
    @pytest.fixture
    def compressor(self, model: str) -> Compressor:
        return LLMLingua(model=model, min_tokens=40, roles=("tool", "user"), keep_digits=False)


def prose(count: int, start: int = 0) -> str:
    return " ".join(f"word{(start + n * 7) % 200}" for n in range(count)) + "."


def conversation(text: str) -> RouteRequest:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages: Any = (
        {"role": "system", "content": prose(400)},
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": text},
        {"role": "user", "content": prose(400, 3)},
    )
    return RouteRequest(messages=messages)


def test_drops_about_half_of_the_words_and_adds_none(model: str) -> None:
    request = conversation(prose(600))
    found = LLMLingua(model=model, rate=0.5, keep_digits=False).compress(request, 1)
    before, after = prose(600).split(), str(found.request.messages[3]["content"]).split()
    assert 0.3 * len(before) < len(after) < 0.8 * len(before)
    kept = re.findall(r"word\d+", " ".join(after))  # llmlingua joins some at the seams of its chunks
    assert set(kept) <= set(re.findall(r"word\d+", " ".join(before)))
    assert found.removed == "words of 1 message"
    for place in (0, 1, 2, 4):  # system, calls and the newest user turn
        assert found.request.messages[place] is request.messages[place]


def test_code_and_json_stay_as_they_are(model: str) -> None:
    code = "```python\n" + "\n".join(f"word{n} = {n}" for n in range(60)) + "\n```"
    compressor = LLMLingua(model=model)
    text = str(
        compressor.compress(conversation(f"{prose(400)}\n{code}\n{prose(400)}"), 1).request.messages[3]["content"]
    )
    assert code in text
    json_text = '{"rows": [' + ", ".join(f'"word{n}"' for n in range(150)) + "]}"
    request = conversation(json_text)
    assert compressor.compress(request, 1).request is request


def test_takes_no_more_texts_than_the_target_needs(model: str) -> None:
    request = conversation(prose(600))
    size = count_tokens(request.messages)[0]
    assert LLMLingua(model=model).compress(request, size).request is request
    assert LLMLingua(model=model).compress(request, None).request is request


def test_a_model_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="bert-base-multilingual-cased"):
        LLMLingua(model=str(tmp_path)).compress(conversation(prose(600)), 1)
    with pytest.raises(ConfigError, match="cannot be loaded"):
        LLMLingua(model=str(tmp_path / "bert-base-multilingual-cased")).compress(conversation(prose(600)), 1)
    with pytest.raises(ConfigError, match="rate"):
        LLMLingua(model="x", rate=2)


def test_a_router_uses_it(model: str) -> None:
    from routekit.testing import plugin_module

    provider = ScriptedProvider("yes")
    config = {
        "deployments": [{"name": "a", "provider": "scripted", "model": "m"}],
        "compressors": [{"use": "llmlingua", "model": model, "ratio": 0.7, "timeout_s": 60, "keep_digits": False}],
    }
    import routekit_llmlingua.plugin

    env = {"ROUTEKIT_PLUGINS": "", "ROUTEKIT_HOME": ""}
    plugins = [plugin_module(provider), routekit_llmlingua.plugin]
    with Router(config, plugins=plugins, providers={"a": provider}, env=env) as router:
        result = router.complete(list(conversation(prose(800)).messages))
    assert any("llmlingua took out" in note for note in result.decision.notes)
