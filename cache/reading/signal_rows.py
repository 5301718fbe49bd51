"""Rows of one signal, gathered from the arrays of many shards into one result."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from ..codecs import LENGTHS, Packing, Part
from ..format.schema import SignalSchema
from ..format.zarr_metadata import chunk_file, part_block
from ..storage.folder import FolderStore
from ..storage.store import Store
from ..tables.array_place import ArrayPlace, Records
from ..tables.buffer import buffer
from ..tables.element_ends import ElementEnds
from ..tables.part_rows import PartRows

Parts = dict[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class Slab:
    """The arrays of one finished shard: their folder below `store`, and its rows. `records` gives the files of its
    receipt when their hashes are to be checked at the first opening."""

    store: Store
    folder: str
    rows: int
    records: Records | None = None


class SignalRows:
    """A row is found by (number of its slab, row in the slab). Slabs are opened when first needed; safe in threads and
    after a fork."""

    def __init__(self, schema: SignalSchema, block: int, slabs: Sequence[Slab]) -> None:
        self._schema, self._block, self._slabs = schema, block, slabs
        self._parts = schema.parts()
        rows = np.array([slab.rows for slab in slabs], np.int64)
        self._arrays = {part.name: self._part_rows(part, rows) for part in self._parts}
        self._ends = None
        if (packing := schema.packing) is not None:
            self._ends = ElementEnds(rows.tolist(), packing, self._lengths, schema.shape[packing.axes[0]])

    def read(self, slab: np.ndarray, row: np.ndarray, out: Mapping[str, np.ndarray] | None = None) -> Parts:
        """Encoded rows {part: (n, ...)} in the order asked; row numbers are the caller's to check.

        `out` are buffers of at least that size (see tables/buffer.py) to use instead of new ones; the result is views
        of them. Ragged parts are (elements, ...) and always new. Raises DamagedCacheError for files that are not what
        was written.
        """
        found = {}
        for part in self._parts:
            if not part.ragged:
                found[part.name] = _buffer(part, len(row), out or {})
                self._arrays[part.name].take(slab, row, found[part.name])
        if self._ends is not None:
            starts, counts = self._ends.find(slab, row)
            for part in self._parts:
                if part.ragged:
                    found[part.name] = self._arrays[part.name].take_runs(slab, starts, counts)
        return found

    def prefetch(self, slab: np.ndarray, first: np.ndarray, stop: np.ndarray) -> None:
        """Have rows first..stop of each slab ready soon, (n,) each: files that are mapped are read ahead by the system,
        compressed chunks are decoded by a thread, files of an object store begin to come near. Returns at once."""
        for rows in self._arrays.values() if len(slab) else ():
            rows.let_go(int(slab[0]))
        here = self._near(slab)
        slab, first, stop = slab[here], first[here], stop[here]
        for part in self._parts:
            if not part.ragged:
                self._arrays[part.name].prefetch(slab, first, stop)
        if self._ends is not None:
            begin, end = self._ends.starts(slab, first), self._ends.starts(slab, stop)
            for part in self._parts:
                if part.ragged:
                    self._arrays[part.name].prefetch(slab, begin, end)

    def _near(self, slab: np.ndarray) -> np.ndarray:
        """Which slabs can be opened without waiting: (n,) bool. The files of the others are asked for."""
        here = np.ones(len(slab), np.bool_)
        for number in np.unique(slab).tolist():
            store = self._slabs[number].store
            if not isinstance(store, FolderStore) and not self._arrays[self._parts[-1].name].opened(number):
                store.fetch(name for part in self._parts for name in self._files(part, number))
                here &= slab != number
        return here

    def _part_rows(self, part: Part, rows: np.ndarray) -> PartRows:
        """Ragged files are taken to be as large as if every row were the longest: addresses cost nothing."""
        chunk = part_block(part, self._block)
        elements = rows.astype(np.float64) * (self._longest() if part.ragged else 1)  # no claim overflows
        chunks = np.maximum(1, np.ceil(elements / chunk))
        row_bytes = np.dtype(part.dtype).itemsize * prod(part.shape)
        wanted = int((chunks * (chunk * row_bytes + 16) + 4).sum())
        return PartRows(part, len(rows), wanted, lambda number: self._place(part, number))

    def _place(self, part: Part, number: int) -> ArrayPlace:
        slab = self._slabs[number]
        rows = slab.rows
        if part.ragged:
            assert self._ends is not None
            rows = self._ends.total(number)
        name = f"{slab.folder}/{self._schema.name}/{part.name}"
        return ArrayPlace(slab.store, name, part, rows, self._block, self._schema.compression, slab.records)

    def _files(self, part: Part, number: int) -> tuple[str, str]:
        folder = f"{self._slabs[number].folder}/{self._schema.name}/{part.name}"
        return f"{folder}/zarr.json", f"{folder}/{chunk_file(1 + len(part.shape))}"

    def _lengths(self, number: int) -> np.ndarray:
        if rows := self._slabs[number].rows:  # the file is proven to hold that many rows before there is room for them
            self._arrays[LENGTHS].take(np.array([number]), np.array([rows - 1]), np.empty(1, np.uint32))
        out = np.empty(rows, np.uint32)
        self._arrays[LENGTHS].take(np.full(len(out), number), np.arange(len(out)), out)
        return out

    def _longest(self) -> int:
        packing: Packing | None = self._schema.packing
        return 1 if packing is None else int(packing.counts(self._schema.shape[packing.axes[0]]))


def _buffer(part: Part, rows: int, out: Mapping[str, np.ndarray]) -> np.ndarray:
    return out[part.name][:rows] if part.name in out else buffer(rows, part.shape, part.dtype)
