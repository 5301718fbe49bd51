"""Divides numbered work among tasks, and tasks among arrays. Neighbours stay together: they are read together."""

from collections.abc import Sequence
from typing import TypeVar

_T = TypeVar("_T")


def shares(items: Sequence[_T], most: int, fewest: int = 1) -> list[Sequence[_T]]:
    """`items` in order, cut into at most `most` shares of nearly one size, none smaller than `fewest` where there is a
    choice."""
    if not items:
        return []
    count = max(1, min(most, len(items) // fewest))
    edges = [len(items) * number // count for number in range(count + 1)]
    return [items[start:stop] for start, stop in zip(edges, edges[1:], strict=False)]


def waves(items: Sequence[_T], size: int) -> list[Sequence[_T]]:
    """`items` in order, `size` at a time."""
    return [items[start : start + size] for start in range(0, len(items), size)]


def numbers_text(numbers: Sequence[int]) -> str:
    """Numbers in rising order as text: [0, 1, 2, 7] is "0-2,7"."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(f"{first}-{last}" if last > first else f"{first}" for first, last in runs)


def numbers_of(text: str) -> list[int]:
    """The numbers that such a text names."""
    spans = [part.partition("-") for part in text.split(",")] if text else []
    return [number for first, _, last in spans for number in range(int(first), int(last or first) + 1)]
