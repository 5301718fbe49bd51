"""Rows of one signal, gathered from the arrays of many shards into one result."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..codecs import LENGTHS, Packing, Part
from ..format.schema import SignalSchema
from ..storage.store import Store
from .array_reader import ArrayRows, open_rows

Parts = dict[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class Slab:
    """The arrays of one finished shard: their folder below `store`, and its rows."""

    store: Store
    folder: str
    rows: int


class SignalRows:
    """A row is found by (number of its slab, row in the slab). Slabs are opened when first needed."""

    def __init__(self, schema: SignalSchema, block: int, slabs: Sequence[Slab]) -> None:
        self._schema, self._block, self._slabs = schema, block, slabs
        self._parts = schema.parts()
        self._open: dict[int, dict[str, ArrayRows]] = {}
        self._ends: dict[int, np.ndarray] = {}

    def read(self, slab: np.ndarray, row: np.ndarray, out: Mapping[str, np.ndarray] | None = None) -> Parts:
        """Encoded rows {part: (n, ...)} in the order asked; row numbers are the caller's to check.

        `out` are buffers of at least that size to use instead of new ones; the result is views of them. Ragged parts
        are (elements, ...) and always new.
        """
        order = None if np.all(slab[1:] >= slab[:-1]) else np.argsort(slab, kind="stable")
        if order is None:
            return self._ascending(slab, row, out or {})
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        found = self._ascending(slab[order], row[order], {})
        return self._reordered(found, back, out or {})

    def prefetch(self, slab: np.ndarray, start: np.ndarray, stop: np.ndarray) -> None:
        """Say that rows start..stop of each slab will be read soon, (n,) int64 each. Returns at once."""

    def _ascending(self, slab: np.ndarray, row: np.ndarray, out: Mapping[str, np.ndarray]) -> Parts:
        """Rows whose slab numbers ascend: one gather per slab and part, straight into the result."""
        dense = [part for part in self._parts if not part.ragged]
        found = {part.name: _buffer(part, len(row), out) for part in dense}
        pieces: dict[str, list[np.ndarray]] = {part.name: [] for part in self._parts if part.ragged}
        bounds = [0, *(np.flatnonzero(slab[1:] != slab[:-1]) + 1).tolist(), len(slab)]
        for start, stop in zip(bounds[:-1], bounds[1:], strict=True):
            if stop > start:
                number, rows = int(slab[start]), row[start:stop]
                for part in dense:
                    self._arrays(number)[part.name].gather(rows, found[part.name][start:stop])
                if pieces:
                    self._elements(number, rows, pieces)
        for part in self._parts:
            if part.ragged:
                empty = np.zeros((0, *part.shape), part.dtype)
                found[part.name] = np.concatenate([empty, *pieces[part.name]])
        return found

    def _elements(self, number: int, rows: np.ndarray, pieces: dict[str, list[np.ndarray]]) -> None:
        ends, arrays = self._ends_of(number), self._arrays(number)
        wanted = ranges(ends[rows], ends[rows + 1] - ends[rows])
        for part in self._parts:
            if part.ragged:
                found = np.empty((len(wanted), *part.shape), part.dtype)
                arrays[part.name].gather(wanted, found)
                pieces[part.name].append(found)

    def _reordered(self, found: Parts, back: np.ndarray, out: Mapping[str, np.ndarray]) -> Parts:
        packing, result = self._schema.packing, {}
        for part in self._parts:
            if part.ragged:
                assert packing is not None
                counts = packing.counts(found[LENGTHS].astype(np.int64))
                starts = np.cumsum(counts) - counts
                result[part.name] = found[part.name][ranges(starts[back], counts[back])]
            else:
                result[part.name] = _buffer(part, len(back), out)
                np.take(found[part.name], back, axis=0, out=result[part.name], mode="clip")
        return result

    def _ends_of(self, number: int) -> np.ndarray:
        """Where each row's elements begin, and where the last one's end: (rows + 1,) int64."""
        if number not in self._ends:
            self._ends[number] = element_ends(self._arrays(number)[LENGTHS], self._slabs[number].rows, self._packing())
        return self._ends[number]

    def _packing(self) -> Packing:
        assert self._schema.packing is not None
        return self._schema.packing

    def _arrays(self, number: int) -> dict[str, ArrayRows]:
        if number not in self._open:
            self._open[number] = self._opened(self._slabs[number])
        return self._open[number]

    def _opened(self, slab: Slab) -> dict[str, ArrayRows]:
        folder = f"{slab.folder}/{self._schema.name}"
        arrays: dict[str, ArrayRows] = {}
        for part in sorted(self._parts, key=lambda part: part.ragged):
            rows = slab.rows
            if part.ragged:
                rows = int(element_ends(arrays[LENGTHS], slab.rows, self._packing())[-1])
            arrays[part.name] = open_rows(slab.store, f"{folder}/{part.name}", part, rows, self._block)
        return arrays


def element_ends(lengths: ArrayRows, rows: int, packing: Packing) -> np.ndarray:
    """Cumulated elements of `rows` rows: (rows + 1,) int64, from 0."""
    found = np.empty(rows, np.uint32)
    lengths.gather(np.arange(rows), found)
    return np.concatenate([[0], np.cumsum(packing.counts(found.astype(np.int64)))])


def ranges(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The numbers start..start+count of each pair, one after another: (sum of counts,) int64."""
    ends = np.cumsum(counts)
    found: np.ndarray = np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - (ends - counts), counts)
    return found


def _buffer(part: Part, rows: int, out: Mapping[str, np.ndarray]) -> np.ndarray:
    return out[part.name][:rows] if part.name in out else np.empty((rows, *part.shape), part.dtype)
