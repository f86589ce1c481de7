"""Pure: the linear model over hashed features. Its weights are a plain array of bytes beside this file."""

from __future__ import annotations

import functools
import math
import struct
from collections.abc import Callable
from importlib import resources

from routekit.builtin.guards.injection.features import SIZE, features, windows


@functools.cache
def _weights() -> tuple[float, float, memoryview]:
    data = resources.files("routekit.builtin.guards.injection").joinpath("model.bin").read_bytes()
    if len(data) != SIZE + 8:
        raise ValueError("the model file of the prompt-injection guard has another size than it must have")
    scale, bias = struct.unpack_from("<ff", data)
    return scale, bias, memoryview(data)[8:].cast("b")


def model_score(text: str) -> float:
    """0..1: the highest of the text's windows, in lower case."""
    scale, bias, weights = _weights()
    weight: Callable[[int], int] = weights.__getitem__
    best = -20.0
    for window in windows(text):
        found = features(window)
        if found:
            best = max(best, scale * sum(map(weight, found)) / math.sqrt(len(found)) + bias)
    return 1 / (1 + math.exp(-best))
