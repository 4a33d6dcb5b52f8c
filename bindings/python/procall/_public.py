"""What the package offers has its name, wherever it is written down."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    Item = TypeVar("Item")


def public(item: Item) -> Item:
    """Makes a class or a function one of ``procall``: tracebacks, ``help`` and pickles then name it
    as programs do, and not after the private module that it is in.
    """
    item.__module__ = "procall"
    return item
