"""A part of the grid of a cache: some shards x a range of views x some signals."""

from collections.abc import Collection
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Rectangle:
    """`shards` in the source's order, views `first` to `first + count - 1`, and `signals`."""

    shards: tuple[str, ...]
    first: int
    count: int
    signals: tuple[str, ...]

    @property
    def end(self) -> int:
        """One past the last view."""
        return self.first + self.count

    def of_signals(self, names: Collection[str]) -> "Rectangle":
        """The same shards and views with those signals alone that are also in `names`."""
        return replace(self, signals=tuple(name for name in self.signals if name in names))

    def meets(self, other: "Rectangle") -> bool:
        """Whether the two have any cell in common."""
        views = self.first < other.end and other.first < self.end
        return (
            views and not set(self.signals).isdisjoint(other.signals) and not set(self.shards).isdisjoint(other.shards)
        )
