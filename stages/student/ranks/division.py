"""Which rows of a batch a process takes, where several train the same trials. A pure function of the batch's size."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Division:
    """The part of process `rank` of `size`."""

    rank: int = 0
    size: int = 1

    def places(self, rows: int, labelled: int) -> np.ndarray:
        """Places in a batch of `rows` rows, ascending int64: an even part of the first `labelled`, and of the others.

        The parts of all processes are the whole batch, and no row is in two.
        """
        return np.concatenate([self._part(0, labelled), self._part(labelled, rows)])

    def _part(self, start: int, stop: int) -> np.ndarray:
        """Neighbours, because rows of a batch lie in the order of the cache."""
        count = stop - start
        return np.arange(start + self.rank * count // self.size, start + (self.rank + 1) * count // self.size)


WHOLE = Division()
