"""Draws that are the same on every machine and with every Python and numpy: by a hash of what they are for."""

import hashlib
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def draw(below: int, *purpose: object) -> int:
    """A whole number in [0, below), the same for the same purpose; evenly spread but for one part in 2^64 / below."""
    digest = hashlib.sha256("/".join(map(str, purpose)).encode()).digest()
    return int.from_bytes(digest[:8], "little") % below


def choose(items: Sequence[T], *purpose: object) -> T:
    """One of the items."""
    return items[draw(len(items), *purpose)]


def shuffled(items: Sequence[T], *purpose: object) -> list[T]:
    """The items in random order."""
    keys = [draw(2**63, *purpose, place) for place in range(len(items))]
    return [items[place] for place in sorted(range(len(items)), key=keys.__getitem__)]
