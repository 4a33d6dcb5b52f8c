"""The Python worker: keywords by TextRank (Mihalcea and Tarau, 2004) on numpy."""

import re

import numpy as np
import procall

keywords_service = procall.Service("keywords")

WORD = re.compile(r"[A-Za-z][a-z]{3,}")
COMMON = frozenset(
    re.findall(
        r"\w+",
        """
        this that with from have which when what will would there their they them than then
        your into only more also each other some such because must should could where while
        about after before does done here just like make made many most much over same these
        those through under very were been being both
        """,
    )
)
WINDOW = 4
DAMPING = 0.85
MOST_WORDS = 400


@keywords_service.method(idempotent=True)
def keywords(text: str, top: int = 5) -> list[str]:
    """The words that a reader would come back to: those whose neighbours are important too."""
    words = [word.lower() for word in WORD.findall(text)]
    words = [word for word in words if word not in COMMON]
    names, ids = np.unique(words, return_inverse=True)
    if len(names) == 0:
        return []
    if len(names) > MOST_WORDS:  # keep the most frequent ones: the matrix grows with the square
        frequent = np.argsort(np.bincount(ids))[-MOST_WORDS:]
        place = np.full(len(names), -1)
        place[frequent] = np.arange(MOST_WORDS)
        names, ids = names[frequent], place[ids]
        ids = ids[ids >= 0]
    together = np.zeros((len(names), len(names)))
    for distance in range(1, WINDOW):
        np.add.at(together, (ids[:-distance], ids[distance:]), 1.0)
    together += together.T
    np.fill_diagonal(together, 0.0)
    share = together / np.maximum(together.sum(axis=0), 1.0)
    rank = np.full(len(names), 1.0 / len(names))
    for _ in range(30):
        rank = (1 - DAMPING) / len(names) + DAMPING * share @ rank
    return [str(name) for name in names[np.argsort(-rank)[:top]]]


if __name__ == "__main__":
    keywords_service.run()
