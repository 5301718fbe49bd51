"""Reads one shard: its row index, and rows of its signals. Files are opened when they are first needed."""

import numpy as np

from ..errors import CacheError, DamagedCacheError
from ..format.manifest import Manifest
from ..format.receipt import Finished, Receipt
from ..format.row_index import RowIndex, read_rows, rows_path
from ..format.schema import SignalSchema
from ..lazy import lazy_property
from ..storage.store import Store
from ..tables.array_place import Records, check_file
from ..tables.lost_file import repair_advice
from .signal_rows import SignalRows, Slab


class ShardReader:
    """Rows of a finished shard. `len` is its number of rows. With `records`, the files of its receipt, each file is
    compared with them before it is read."""

    def __init__(
        self, store: Store, manifest: Manifest, receipt: Finished | Receipt, records: Records | None = None
    ) -> None:
        self._records = records
        self.shard, self._store, self._manifest, self._receipt = receipt.shard, store, manifest, receipt
        self._signals: dict[str, SignalRows] = {}

    def __len__(self) -> int:
        return self._receipt.rows

    @lazy_property
    def index(self) -> RowIndex:
        """Ids, views, labels and view parameters of every row."""
        name = rows_path(self._receipt.folder)
        if self._records is not None:
            check_file(self._store, name, self._records)
        try:
            return read_rows(self._store.local(name), len(self._manifest.parameters), len(self))
        except DamagedCacheError as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                raise
            raise DamagedCacheError(f"{error}; {repair_advice(self._store)}") from error

    @property
    def ids(self) -> np.ndarray:
        """Sample ids in order, one per sample: (rows / views,) str."""
        return self.index.ids[:: self._manifest.views]

    @property
    def labels(self) -> np.ndarray:
        """Labels in order, one per sample: int64, -1 for none."""
        return self.index.labels[:: self._manifest.views]

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
        if signal not in self._signals:
            schema = schema_of(self._manifest, signal)
            self._signals[signal] = SignalRows(schema, self._manifest.block, [self.slab()])
        return self._signals[signal].read(np.zeros(len(rows), np.int64), rows)

    def slab(self) -> Slab:
        """Where the arrays of this shard are."""
        return Slab(self._store, self._receipt.folder, self._receipt.rows, self._records)


def schema_of(manifest: Manifest, signal: str) -> SignalSchema:
    """The schema of a signal. Raises CacheError naming the signals there are."""
    if signal not in manifest.signals:
        raise CacheError(f"the cache has no signal {signal!r}; it has {', '.join(manifest.signals)}")
    return manifest.signals[signal]
