"""A small language model of characters, its weights, and two ways to compute it.

The next character is guessed from the last 16: each becomes a vector of 16 numbers, they go
through one hidden layer of 256 tanh units, and come out as a score for each of the 96 characters
that the model knows: 32 to 126 of ASCII, and one for all others.
"""

import sys
from pathlib import Path
from typing import Any, Protocol

import numpy as np

CONTEXT = 16
CHARACTERS = 96
EMBEDDING = 16
HIDDEN = 256

Weights = dict[str, np.ndarray]


class Model(Protocol):
    def __call__(self, contexts: np.ndarray) -> Any:
        """Scores of shape (n, 96), float32, for contexts of shape (n, 16), uint8."""


def encode(text: str) -> np.ndarray:
    """Characters as numbers below 96."""
    codes = np.frombuffer(text.encode("ascii", "replace"), dtype=np.uint8)
    known = (codes >= 32) & (codes < 127)
    return np.where(known, codes - 32, CHARACTERS - 1).astype(np.uint8)


def decode(code: int) -> str:
    return chr(code + 32) if code < CHARACTERS - 1 else "\n"


def last_context(text: str) -> np.ndarray:
    """The context at the end of a text, of shape (1, 16)."""
    return encode(text.rjust(CONTEXT)[-CONTEXT:]).reshape(1, CONTEXT)


def with_torch(weights: Weights) -> Model:
    import torch

    embedding, hidden, hidden_bias, out, out_bias = (
        torch.from_numpy(weights[name]) for name in weights
    )

    def scores(contexts: np.ndarray) -> Any:
        with torch.inference_mode():
            vectors = embedding[torch.tensor(contexts, dtype=torch.int32)].flatten(1)
            return (torch.tanh(vectors @ hidden + hidden_bias) @ out + out_bias).numpy()

    return scores


def with_numpy(weights: Weights) -> Model:
    embedding, hidden, hidden_bias, out, out_bias = weights.values()

    def scores(contexts: np.ndarray) -> np.ndarray:
        vectors = embedding[contexts].reshape(len(contexts), -1)
        return np.tanh(vectors @ hidden + hidden_bias) @ out + out_bias

    return scores


def train(text: str, steps: int = 600, batch: int = 128) -> Weights:
    """Learns a text by heart, as far as it can: gradient descent with momentum, by hand."""
    chance = np.random.default_rng(1)
    weights: Weights = {
        "embedding": chance.normal(0, 0.5, (CHARACTERS, EMBEDDING)),
        "hidden": chance.normal(0, (CONTEXT * EMBEDDING) ** -0.5, (CONTEXT * EMBEDDING, HIDDEN)),
        "hidden_bias": np.zeros(HIDDEN),
        "out": chance.normal(0, HIDDEN**-0.5, (HIDDEN, CHARACTERS)),
        "out_bias": np.zeros(CHARACTERS),
    }
    weights = {name: values.astype(np.float32) for name, values in weights.items()}
    speeds = {name: np.zeros_like(values) for name, values in weights.items()}
    codes = encode(text)
    windows = np.lib.stride_tricks.sliding_window_view(codes, CONTEXT + 1)
    for _ in range(steps):
        picked = windows[chance.integers(len(windows), size=batch)]
        contexts, wanted = picked[:, :-1], picked[:, -1]
        for name, slope in slopes(weights, contexts, wanted).items():
            speeds[name] = 0.9 * speeds[name] - np.float32(0.2) * slope
            weights[name] += speeds[name]
    return weights


def slopes(weights: Weights, contexts: np.ndarray, wanted: np.ndarray) -> Weights:
    """The derivative of the mean cross entropy by each weight."""
    rows = np.arange(len(wanted))
    vectors = weights["embedding"][contexts].reshape(len(wanted), -1)
    units = np.tanh(vectors @ weights["hidden"] + weights["hidden_bias"])
    scores = units @ weights["out"] + weights["out_bias"]
    by_score = np.exp(scores - scores.max(axis=1, keepdims=True))
    by_score /= by_score.sum(axis=1, keepdims=True)
    by_score[rows, wanted] -= 1
    by_score /= len(wanted)
    by_unit = (by_score @ weights["out"].T) * (1 - units**2)
    by_vector = (by_unit @ weights["hidden"].T).reshape(len(wanted), CONTEXT, EMBEDDING)
    embedding = np.zeros_like(weights["embedding"])
    np.add.at(embedding, contexts, by_vector)
    return {
        "embedding": embedding,
        "hidden": vectors.T @ by_unit,
        "hidden_bias": by_unit.sum(axis=0),
        "out": units.T @ by_score,
        "out_bias": by_score.sum(axis=0),
    }


if __name__ == "__main__":
    source, target = sys.argv[1:]
    np.savez(target, **train(Path(source).read_text()))
