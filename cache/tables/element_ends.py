"""Where the elements of each row of a packed signal are, from the rows' lengths, which are read once a shard."""

from collections.abc import Callable, Sequence

import numpy as np

from ..codecs import Packing
from ..errors import DamagedCacheError


class ElementEnds:
    """8 bytes a row of every shard that was touched. `lengths` reads all lengths of a shard: (rows,) uint32; `longest`
    is the most tokens that the manifest allows."""

    def __init__(
        self, rows: Sequence[int], packing: Packing, lengths: Callable[[int], np.ndarray], longest: int
    ) -> None:
        self._rows, self._packing, self._lengths, self._longest = rows, packing, lengths, longest
        counts = np.asarray(rows, np.int64) + 1
        self._first = np.cumsum(counts) - counts
        self._ends = _room(int(counts.sum()))  # touched shard by shard: the rest takes no memory
        self._known = np.zeros(len(rows), np.bool_)

    def find(self, slab: np.ndarray, row: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """First element in the shard and number of elements of each row: (n,) int64 each."""
        self._learn(slab)
        place = self._first[slab] + row
        starts = self._ends[place]
        return starts, self._ends[place + 1] - starts

    def starts(self, slab: np.ndarray, row: np.ndarray) -> np.ndarray:
        """First element in the shard of each row: (n,) int64. A row behind the last one begins where that ends."""
        self._learn(slab)
        found: np.ndarray = self._ends[self._first[slab] + row]
        return found

    def total(self, slab: int) -> int:
        """Elements of a whole shard."""
        self._learn(np.array([slab]))
        return int(self._ends[self._first[slab] + self._rows[slab]])

    def _learn(self, slab: np.ndarray) -> None:
        known = self._known[slab]
        if not known.all():
            for number in np.unique(slab[~known]).tolist():
                lengths = self._lengths(number).astype(np.int64)
                if len(lengths) and lengths.max() > self._longest:
                    raise DamagedCacheError(
                        f"a row of {lengths.max()} tokens of at most {self._longest} is impossible; run `cache verify`"
                    )
                first, stop = self._first[number], self._first[number] + self._rows[number] + 1
                self._ends[first], self._ends[first + 1 : stop] = 0, np.cumsum(self._packing.counts(lengths))
                self._known[number] = True  # after the values: another thread may look


def _room(rows: int) -> np.ndarray:
    try:
        return np.empty(rows, np.int64)
    except MemoryError as error:
        raise DamagedCacheError(f"the receipts claim {rows} rows, for which there is no memory: {error}") from error
