"""Rows of one part over all shards of a cache: from the table where a file can be mapped, else shard by shard.

A file is checked before its first row is read: `zarr.json`, size and index, and its hash when that was asked for.
"""

import itertools
import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import BinaryIO

import numpy as np

from ..codecs import Part
from .array_place import ArrayPlace
from .chunk_memory import chunk_memory
from .lost_file import lost_file
from .map_budget import CHANGING, map_budget
from .row_table import UNMAPPED, RowTable
from .runs import merged, ranges
from .slab_rows import ChunkRows, FileRows, SlabRows, compressed_rows, foreign_rows

_APART = UNMAPPED - 1  # instead of a first row: not in the table, see UNMAPPED
_numbers = itertools.count()


class PartRows:
    """`place` says where the array of a slab is; `wanted` is an upper bound of all files' bytes. Safe in threads and
    after a fork."""

    def __init__(self, part: Part, slabs: int, wanted: int, place: Callable[[int], ArrayPlace]) -> None:
        self._part, self._slabs, self._wanted, self._place = part, slabs, wanted, place
        self._number = next(_numbers)
        self._checked: set[int] = set()  # slabs whose file was mapped once
        self._apart: dict[int, SlabRows] = {}
        self._table: RowTable | None = None
        self._no_table = False
        self._departures = 0
        self._starts = np.full(slabs, UNMAPPED, np.int64)  # where there is no table
        map_budget().join(self)
        weakref.finalize(self, _forget, self._number).atexit = False

    def take(self, slab: np.ndarray, row: np.ndarray, out: np.ndarray) -> None:
        """Rows (n,) of slabs (n,) into `out` (n, *shape), in the order asked."""
        table = self._table
        if table is not None and len(row):
            index = table.starts[slab]
            index += row  # negative for a slab that is not in the table
            if index.min() >= 0:
                table.take(index, out)
                return
        most = map_budget().most
        for start in range(0, len(row), most):  # a table holds that many files in any case
            piece = slice(start, start + most)
            table, first = self._located(slab[piece])
            self._take_mixed(table, first, slab[piece], row[piece], out[piece])

    def take_runs(self, slab: np.ndarray, start: np.ndarray, count: np.ndarray) -> np.ndarray:
        """Elements start..start+count of each run, one run after another: a new array (sum of counts, *shape)."""
        if len(slab) and len(slab) <= map_budget().most:
            used = count > 0
            table, first = self._located(slab[used])
            if table is not None and (first >= 0).all():
                return table.take_runs(first + start[used], count[used])
        out = np.empty((int(count.sum()), *self._part.shape), self._part.dtype)
        self.take(np.repeat(slab, count), ranges(start, count), out)
        return out

    def prefetch(self, slab: np.ndarray, first: np.ndarray, stop: np.ndarray) -> None:
        """Have rows first..stop of slabs ready soon: the system reads mapped files ahead, a thread decodes chunks, as
        many as fit into half of their memory."""
        some = stop > first
        slab, first, stop = slab[some], first[some], stop[some]
        table, start = self._located(slab)
        mapped = start >= 0
        if table is not None:
            table.will_need(*merged((start + first)[mapped], (start + stop)[mapped]))
        room = chunk_memory().most // 2
        for number, begin, end in zip(*(x[~mapped].tolist() for x in (slab, first, stop)), strict=True):
            if room > 0 and isinstance(apart := self._apart[number], ChunkRows):
                room -= apart.prefetch(begin, end)

    def opened(self, slab: int) -> bool:
        """Whether a slab's rows can be read without opening a file first."""
        return bool(self._starts_of(self._table)[slab] != UNMAPPED)

    def renew(self) -> None:
        """Let go of every map; readers in the middle of one keep it until they are done."""
        self._table = None

    def _located(self, slab: np.ndarray) -> tuple[RowTable | None, np.ndarray]:
        """The table, and the first row of each slab in it, negative for a slab that is kept apart."""
        table = self._table
        first = self._starts_of(table)[slab]
        if table is None or (len(first) and first.min() < 0):
            new = np.unique(slab) if table is None else np.unique(slab[first == UNMAPPED])
            if len(new):
                table = self._with(new, slab)
                first = self._starts_of(table)[slab]
        return table, first

    def _starts_of(self, table: RowTable | None) -> np.ndarray:
        return self._starts if table is None else table.starts

    def _with(self, new: np.ndarray, slab: np.ndarray) -> RowTable | None:
        """A table that holds these slabs. When it has no place for all of them, a fresh one."""
        self.let_go(int(new[0]))
        for fresh in (False, True):
            with CHANGING:
                if map_budget().make_room(len(new)) or (fresh and self._table is not None):
                    self._table = None
                table = self._current()
                new = np.unique(slab) if fresh else new
            starts = self._starts_of(table)
            todo = [number for number in np.unique(slab).tolist() if starts[number] == UNMAPPED]
            if all([self._add(table, number, fresh) for number in todo]):
                break
        return table

    def let_go(self, slab: int) -> None:
        """Begin anew when the store has removed local copies: those that are mapped here still take their space."""
        departures = self._place(slab).store.departures()
        if departures > self._departures:
            self._departures = departures
            self._table = None

    def _current(self) -> RowTable | None:
        if self._table is None and not self._no_table:
            try:
                self._table = RowTable(self._part, self._slabs, self._wanted)
            except OSError:
                self._no_table = True
        return self._table

    def _add(self, table: RowTable | None, number: int, last: bool) -> bool:
        """Put a slab into the table or aside; False when the table is full, and this is not the last try."""
        if number not in self._apart:
            asked = self._place(number)
            place = replace(asked, compression="none") if number in self._checked else asked.as_written()
            if place is not None and place.compression == "none":
                if self._map(table, number, place):
                    return True
                if table is not None and not last:
                    return False
                self._apart[number] = FileRows(place)
            else:
                key = (self._number, number)
                self._apart[number] = foreign_rows(asked, key) if place is None else compressed_rows(place, key)
        self._starts_of(table)[number] = _APART
        return True

    def _map(self, table: RowTable | None, number: int, place: ArrayPlace) -> bool:
        try:
            with place.open() as file:
                self._check(number, place, file)
                return table is not None and table.add(number, file.fileno(), place.plain_bytes)
        except OSError as error:
            raise lost_file(place.store, place.file_name, error) from error

    def _check(self, number: int, place: ArrayPlace, file: BinaryIO) -> None:
        if number in self._checked:
            place.check_size(file)  # it was mapped before; a shorter file would kill the process
        else:
            place.check_plain(file)
            place.check_hash(file)
            self._checked.add(number)

    def _take_mixed(
        self, table: RowTable | None, first: np.ndarray, slab: np.ndarray, row: np.ndarray, out: np.ndarray
    ) -> None:
        mapped = first >= 0
        if table is not None and mapped.all():
            table.take(first + row, out)
        elif table is not None:
            found = np.empty((int(mapped.sum()), *self._part.shape), self._part.dtype)
            table.take((first + row)[mapped], found)
            out[mapped] = found
        for number in np.unique(slab[~mapped]).tolist():
            chosen = slab == number
            out[chosen] = self._apart[number].gather(row[chosen])


def _forget(number: int) -> None:
    chunk_memory().forget(number)
