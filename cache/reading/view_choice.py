"""Some of the views of every sample: the chosen rows of a cache, numbered as if there were no others.

Row `sample * of + view` is the rule of the whole cache, and a shard holds whole samples; so both directions are
arithmetic, and no list of rows is ever made.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import CacheError


@dataclass(frozen=True, slots=True)
class ViewChoice:
    """`views`, ascending, out of `of` views a sample."""

    of: int
    views: tuple[int, ...]

    @property
    def whole(self) -> bool:
        """Whether every row is chosen."""
        return len(self.views) == self.of

    def before(self, rows: np.ndarray) -> np.ndarray:
        """How many chosen rows lie before each row number: (n,) int64 -> (n,) int64."""
        if self.whole:
            return rows
        found: np.ndarray = rows // self.of * len(self.views) + np.searchsorted(self.views, rows % self.of)
        return found

    def rows(self, numbers: np.ndarray) -> np.ndarray:
        """Row numbers of chosen rows: (n,) int64 -> (n,) int64."""
        if self.whole:
            return numbers
        found: np.ndarray = numbers // len(self.views) * self.of + np.array(self.views)[numbers % len(self.views)]
        return found


def choose_views(of: int, views: Sequence[int] | None) -> ViewChoice:
    """The choice of `views`; None for all. Raises CacheError for a view that is not there, or is named twice."""
    chosen = range(of) if views is None else [int(view) for view in views]
    wrong = [view for view in chosen if not 0 <= view < of]
    if wrong or len(set(chosen)) < len(chosen) or not len(chosen):
        raise CacheError(f"views {list(chosen)} were asked for; name some of 0 to {of - 1}, each once")
    return ViewChoice(of, tuple(sorted(chosen)))
