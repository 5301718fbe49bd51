"""Reads one shard: its row index, and rows of its signals. Files are opened when they are first needed."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import numpy as np

from ..errors import CacheError, DamagedCacheError
from ..format.manifest import Manifest
from ..format.receipt import Receipt
from ..format.row_index import RowIndex, read_rows, rows_path
from ..format.schema import SignalSchema
from .array_reader import MappedRows, ZarrRows, open_rows


class ShardReader:
    """Rows of a finished shard. `len` is its number of rows."""

    def __init__(self, root: Path, manifest: Manifest, receipt: Receipt) -> None:
        self.shard, self._manifest, self._receipt = receipt.shard, manifest, receipt
        self._folder, self._rows = root / receipt.folder, root / rows_path(receipt.folder)
        self._open: dict[str, dict[str, MappedRows | ZarrRows]] = {}

    def __len__(self) -> int:
        return self._receipt.rows

    @cached_property
    def index(self) -> RowIndex:
        """Ids, views, labels and view parameters of every row."""
        rows = read_rows(self._rows, len(self._manifest.parameters))
        if len(rows) != len(self):
            raise DamagedCacheError(f"shard {self.shard}: {len(rows)} rows are indexed, the receipt says {len(self)}")
        return rows

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
        out = self.allocate(signal, len(rows))
        self.read_into(signal, rows, out)
        return out

    def allocate(self, signal: str, count: int) -> dict[str, np.ndarray]:
        """Empty buffers for `count` encoded rows of a signal."""
        parts = schema_of(self._manifest, signal).parts()
        return {part.name: np.empty((count, *part.shape), part.dtype) for part in parts}

    def read_into(self, signal: str, rows: np.ndarray, out: Mapping[str, np.ndarray]) -> None:
        """Gather encoded rows into buffers made by `allocate` (or slices of them)."""
        if len(rows) and not 0 <= int(rows.min()) <= int(rows.max()) < len(self):
            raise CacheError(
                f"shard {self.shard} has rows 0 to {len(self) - 1}; {rows.min()} to {rows.max()} were asked for"
            )
        for part, array in self.arrays(signal).items():
            array.gather(rows, out[part])

    def arrays(self, signal: str) -> Mapping[str, MappedRows | ZarrRows]:
        """The open arrays of a signal by part; they do not check row numbers."""
        if signal not in self._open:
            parts = schema_of(self._manifest, signal).parts()
            self._open[signal] = {
                part.name: open_rows(self._folder / signal / part.name, part, len(self), self._manifest.block)
                for part in parts
            }
        return self._open[signal]


def schema_of(manifest: Manifest, signal: str) -> SignalSchema:
    """The schema of a signal. Raises CacheError naming the signals there are."""
    if signal not in manifest.signals:
        raise CacheError(f"the cache has no signal {signal!r}; it has {', '.join(manifest.signals)}")
    return manifest.signals[signal]
