"""Where a sample is, by its id."""

from collections.abc import Sequence

import numpy as np

from ..errors import CacheError


class SampleLookup:
    """Finds sample numbers by id: one sorted copy of the ids, binary search for many at once."""

    def __init__(self, ids: np.ndarray) -> None:
        self._order = np.argsort(ids, kind="stable")
        self._sorted = ids[self._order]

    def find(self, ids: Sequence[str] | np.ndarray) -> np.ndarray:
        """Numbers (n,) int64 of the samples with these ids, -1 where there is none.

        Raises CacheError for an id that several samples have: it says nothing about which of them is meant.
        """
        wanted = np.asarray(ids, dtype=np.str_)
        if not len(self._sorted):
            return np.full(len(wanted), -1, np.int64)
        place = np.minimum(np.searchsorted(self._sorted, wanted), len(self._sorted) - 1)
        after = np.minimum(place + 1, len(self._sorted) - 1)
        double = (self._sorted[after] == wanted) & (after > place)
        if np.any(double & (self._sorted[place] == wanted)):
            raise CacheError(
                f"several samples have the id {str(wanted[int(np.argmax(double))])!r}; take rows by number"
            )
        return np.where(self._sorted[place] == wanted, self._order[place], -1)
