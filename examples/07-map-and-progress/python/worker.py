"""The Python worker."""

import procall

words = procall.Service("words")


@words.method(idempotent=True)
def size(word: str) -> int:
    return len(word)


@words.method
def learn(ctx: procall.Context, epochs: int) -> str:
    for epoch in range(epochs):
        ctx.progress(epoch, epochs, "learning")
    return "learned"


if __name__ == "__main__":
    words.run()
