"""The worker: `worker.py WEIGHTS [torch|numpy]`"""

import sys
from collections.abc import Iterator

import numpy as np
import procall
from model import decode, last_context, with_numpy, with_torch

path, backend = sys.argv[1:]
with np.load(path) as file:
    weights = {name: file[name] for name in file.files}
model = with_torch(weights) if backend == "torch" else with_numpy(weights)
language = procall.Service("language")


@language.method(idempotent=True)
def scores(contexts: np.ndarray) -> np.ndarray:
    """A batch: contexts (n, 16) of uint8 in, scores (n, 96) of float32 out."""
    return model(contexts)


@language.method
def complete(prompt: str, characters: int) -> Iterator[str]:
    """The most likely continuation, character by character as they are found."""
    text = prompt
    for _ in range(characters):
        found = decode(int(model(last_context(text)).argmax()))
        text += found
        yield found


if __name__ == "__main__":
    language.run()
