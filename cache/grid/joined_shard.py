"""One shard of a joined cache, read through all the members that hold it. Its row indexes must tell the same story."""

from collections.abc import Callable, Sequence

import numpy as np

from ..errors import CacheError, DamagedCacheError
from ..format.row_index import RowIndex
from ..lazy import lazy_property
from .member import Member

ReadRows = Callable[[str, np.ndarray], dict[str, np.ndarray]]  # signal, rows of the shard -> encoded parts


class JoinedShard:
    """What a ShardReader is for one directory. `len` is its number of rows."""

    def __init__(self, shard: str, members: Sequence[Member], samples: int, views: int, read: ReadRows) -> None:
        self.shard, self._members, self._samples, self._views, self._read = shard, members, samples, views, read

    def __len__(self) -> int:
        return self._samples * self._views

    @lazy_property
    def index(self) -> RowIndex:
        """Ids, views, labels and view parameters of every row. Raises DamagedCacheError when members disagree."""
        first = self._members[0].reader(self.shard)
        ids, labels = first.ids, first.labels
        parameters = np.full((self._samples, self._views, first.parameters.shape[1]), np.nan)
        for member in reversed(self._members):
            reader, rectangle = member.reader(self.shard), member.rectangle
            self._agree(member, reader.index, ids, labels)
            parameters[:, rectangle.first : rectangle.end] = reader.parameters.reshape(
                self._samples, rectangle.count, parameters.shape[2]
            )
        numbers = np.tile(np.arange(self._views, dtype=np.uint16), self._samples)
        flat = parameters.reshape(len(self), parameters.shape[2])
        return RowIndex(np.repeat(ids, self._views), numbers, np.repeat(labels, self._views), flat)

    @property
    def ids(self) -> np.ndarray:
        """Sample ids in order, one per sample: (rows / views,) str."""
        return self.index.ids[:: self._views]

    @property
    def labels(self) -> np.ndarray:
        """Labels in order, one per sample: int64, -1 for none."""
        return self.index.labels[:: self._views]

    @property
    def parameters(self) -> np.ndarray:
        """View parameters, one row per row: (rows, P) float64."""
        return self.index.parameters

    def read(self, signal: str, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Encoded rows of a signal: {part: (len(rows), ...)}. Raises CacheError for an unknown signal or row."""
        if len(rows) and not 0 <= int(rows.min()) <= int(rows.max()) < len(self):
            raise CacheError(
                f"shard {self.shard} has rows 0 to {len(self) - 1}; {rows.min()} to {rows.max()} were asked for"
            )
        return self._read(signal, rows)

    def _agree(self, member: Member, index: RowIndex, ids: np.ndarray, labels: np.ndarray) -> None:
        rectangle, first = member.rectangle, self._members[0]
        views = np.tile(np.arange(rectangle.first, rectangle.end, dtype=np.uint16), self._samples)
        same = (
            np.array_equal(index.ids, np.repeat(ids, rectangle.count))
            and np.array_equal(index.labels, np.repeat(labels, rectangle.count))
            and np.array_equal(index.views, views)
        )
        if not same:
            raise DamagedCacheError(
                f"shard {self.shard}: the row index in {member.url} does not name the samples, labels and views that "
                f"{first.url} names; run `cache verify`"
            )
