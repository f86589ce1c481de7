"""Trains the linear model of the prompt-injection guard and writes it as a plain array file.

    python benchmarks/guards_train.py DATA/injection_dev.jsonl src/routekit/builtin/guards/injection/model.bin

Logistic regression over hashed words, pairs of words and letters; whole sets are left out to choose how strongly it is
regularised, because a split of the same sets says nothing of texts from elsewhere.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from routekit.builtin.guards.injection.features import SIZE, features, windows

EPOCHS, RATE, L2 = 12, 0.15, 2e-6
_ACTS = (
    "ignore", "disregard", "forget", "override", "bypass", "skip", "reveal", "repeat", "print", "show me", "explain",
    "cancel", "unlock", "execute",
    "delete", "disable", "pretend", "act as", "simulate", "translate", "summarise", "list", "describe", "send",
    "share", "write about",
)  # fmt: skip
_THINGS = (
    "the typo in my last message", "the default settings of the printer", "the first two rows of the table",
    "a method in java",
    "the instructions on the back of the box", "the rules of chess", "the previous version of the document",
    "a system prompt in general",
    "the warning in line 12", "the history of passwords", "my earlier email",
    "the safety guidelines for a laboratory", "how a firewall filters traffic",
    "the command line options of tar", "the steps of the recipe above", "what prompt engineering is",
    "the lyrics of an old song",
    "the role of an administrator", "the conversation between Romeo and Juliet", "the agenda of tomorrow's meeting",
    "what jailbreaking a phone means",
    "the policy on remote work", "the difference between admin and root", "the message of the film",
    "the context of this poem",
)  # fmt: skip
_FRAMES = (
    "{} {}",
    "please {} {}",
    "can you {} {}?",
    "how do I {} {}?",
    "I would like to {} {}",
    "should we {} {} before Monday?",
)
_SMALL = (
    "hello", "hello there, my friend", "good morning", "thanks a lot", "how are you today?",
    "that is great, thank you", "see you tomorrow", "yes please",
    "no, the other one", "sum it up", "what did you mean?", "could you say that again?", "I like it",
    "tell me a joke", "what time is it in Tokyo?",
    "can you make it shorter?", "and in French?", "why?", "write a poem about rain", "fix the bug in this function",
    "what is the weather like?",
)  # fmt: skip


def ordinary() -> list[dict[str, Any]]:
    """Harmless texts with the words of attacks, and what people say in passing."""
    rng = np.random.default_rng(7)
    found = [_FRAMES[rng.integers(len(_FRAMES))].format(act, thing) for act in _ACTS for thing in _THINGS] + list(
        _SMALL
    ) * 8
    return [{"set": "ordinary", "text": text, "label": 0, "channel": "user"} for text in found]


def examples(
    rows: list[dict[str, Any]],
) -> tuple[list[np.ndarray[Any, Any]], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    counts: dict[tuple[str, int], int] = defaultdict(int)
    for row in rows:
        counts[row["set"], row["label"]] += 1
    xs, ys, weights = [], [], []
    for row in rows:
        parts = list(windows(row["text"].lower()))
        if row["label"] and len(parts) > 3:
            continue  # where in a long text the attack stands is not said
        for part in parts:
            xs.append(np.array(sorted(features(part)), dtype=np.int64))
            ys.append(row["label"])
            weights.append(1.0 / counts[row["set"], row["label"]] ** 0.5 / len(parts) ** 0.5)
    return xs, np.array(ys, dtype=float), np.array(weights) / np.mean(weights)


def train(rows: list[dict[str, Any]], seed: int = 1) -> np.ndarray[Any, Any]:
    """Weights and, last, the bias. AdaGrad, one example at a time."""
    rng = np.random.default_rng(seed)
    xs, ys, sample = examples(rows)
    weights = np.zeros(SIZE + 1)
    squares = np.full(SIZE + 1, 1e-6)
    for _ in range(EPOCHS):
        for index in rng.permutation(len(xs)):
            x = xs[index]
            scale = 1.0 / max(1, len(x)) ** 0.5
            margin = weights[x].sum() * scale + weights[SIZE]
            slope = sample[index] * (1 / (1 + np.exp(-margin)) - ys[index])
            gradient = slope * scale + L2 * weights[x]
            squares[x] += gradient**2
            weights[x] -= RATE * gradient / np.sqrt(squares[x])
            squares[SIZE] += slope**2
            weights[SIZE] -= RATE * slope / np.sqrt(squares[SIZE])
    return weights


def written(weights: np.ndarray[Any, Any]) -> bytes:
    """Scale and bias as little-endian float32, then a signed byte for each weight."""
    scale = float(np.abs(weights[:SIZE]).max()) / 127
    small = np.clip(np.round(weights[:SIZE] / scale), -127, 127).astype(np.int8)
    return np.array([scale, weights[SIZE]], dtype="<f4").tobytes() + small.tobytes()


def main() -> None:
    rows = [json.loads(line) for line in Path(sys.argv[1]).read_text().split("\n") if line] + ordinary()
    Path(sys.argv[2]).write_bytes(written(train(rows)))


if __name__ == "__main__":
    main()
