"""Ids and labels of all samples of a cache, each in one flat array: a batch from any shards is one gather.

A shard's part is read when one of its rows is first asked for. Its row index must keep the rule of rows, `sample *
views + view`: one that does not is refused, for labels would be given to the wrong rows.
"""

from collections.abc import Callable

import numpy as np

from ..errors import DamagedCacheError
from ..format.row_index import RowIndex
from ..tables.map_budget import CHANGING

Columns = tuple[np.ndarray, np.ndarray, np.ndarray]  # ids (n,) str, views (n,) uint16, labels (n,) int64


class SampleColumns:
    """`samples` (shards,) int64 of each finished shard; `read` gives the row index of a shard by its number; `first` is
    the number of a sample's first view.

    Safe in threads. Not to be handed to another process: a cache makes its own there.
    """

    def __init__(self, samples: np.ndarray, views: int, read: Callable[[int], RowIndex], first: int = 0) -> None:
        self._starts = np.concatenate([[0], np.cumsum(samples)]).astype(np.int64)
        self._views, self._first, self._read = views, first, read
        self._known = np.zeros(len(samples), np.bool_)
        self._ids = np.empty(self._starts[-1], "<U1")
        self._labels = np.empty(self._starts[-1], np.int64)

    def gather(self, shard: np.ndarray, row: np.ndarray) -> Columns:
        """Columns of rows by (number of the shard, row in it), in the order asked.

        Raises DamagedCacheError for a row index that cannot be read, or that breaks the rule of rows.
        """
        known = self._known[shard]
        if not known.all():
            self._fill(np.unique(shard[~known]))
        sample = self._starts[shard] + row // self._views
        return self._ids[sample], (self._first + row % self._views).astype(np.uint16), self._labels[sample]

    def _fill(self, shards: np.ndarray) -> None:
        with CHANGING:  # also held across a fork, so no child finds it taken
            for shard in shards[~self._known[shards]].tolist():
                index, part = self._read(shard), slice(self._starts[shard], self._starts[shard + 1])
                ids, labels = self._checked(index, part.stop - part.start)
                if ids.dtype.itemsize > self._ids.dtype.itemsize:
                    self._ids = self._ids.astype(ids.dtype)
                self._ids[part], self._labels[part] = ids, labels
                self._known[shard] = True

    def _checked(self, index: RowIndex, samples: int) -> tuple[np.ndarray, np.ndarray]:
        """Ids and labels, one per sample, of an index in which each sample's rows stand together, view by view."""
        ids, labels, views = (column.reshape(-1, self._views) for column in (index.ids, index.labels, index.views))
        if len(ids) != samples or not (
            np.all(views == self._first + np.arange(self._views))
            and np.all(ids == ids[:, :1])
            and np.all(labels == labels[:, :1])
        ):
            raise DamagedCacheError(
                f"the row index of a shard of {samples} samples, the first of them {''.join(ids[:1, 0])!r}, does not "
                f"hold {self._views} views of each sample in order; run `cache verify`"
            )
        return ids[:, 0], labels[:, 0]
