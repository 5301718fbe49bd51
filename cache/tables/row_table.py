"""One numpy array over the rows of many shard files: each is mapped at an address that is a whole number of rows away
from the first, so that row r of file s is row `starts[s] + r`, and one `take` gathers rows from all of them."""

import mmap
from math import lcm, prod

import numpy as np

from ..codecs import Part
from .address_range import HUGE, AddressRange
from .map_budget import CHANGING, map_budget
from .runs import copied_runs, ranges

_MOST_ADDRESSES = 1 << 42  # a process has 2^47; more files than fit here start a new table
_LEAST_ADDRESSES = 1 << 28
_SMALL = 64  # bytes of a row from which a copy of each costs no more than one of each run
UNMAPPED = -(1 << 62)  # the first row of a file that has no place: no row number makes it positive


class RowTable:
    """Files of `slabs` shards. `starts` (slabs,) int64 is a file's first row, negative until it is mapped.

    The array itself stays inside: whoever prints one touches addresses that nothing is mapped to.
    """

    def __init__(self, part: Part, slabs: int, wanted: int) -> None:
        """`wanted` is an upper bound of the files' bytes. Raises OSError where no addresses can be had."""
        dtype = np.dtype(part.dtype).newbyteorder("<")
        self._row_bytes = dtype.itemsize * prod(part.shape)
        self._step = _step(self._row_bytes, wanted, slabs)
        self._end = 0
        self.starts = np.full(slabs, UNMAPPED, np.int64)
        self._range = _reserve(wanted + slabs * self._step, self._step)
        count = self._range.size // self._row_bytes
        self._rows: np.ndarray = (
            np.asarray(self._range)[: count * self._row_bytes].view(dtype).reshape(count, *part.shape)
        )

    def take(self, rows: np.ndarray, out: np.ndarray) -> None:
        """Copy rows (n,) of mapped files, which the caller has checked, into `out` (n, *shape)."""
        self._rows.take(rows, 0, out, "clip")  # "raise" would gather into another buffer first

    def take_runs(self, first: np.ndarray, count: np.ndarray) -> np.ndarray:
        """Rows first..first+count of each run, one run after another: a new array (sum of counts, *shape)."""
        if self._row_bytes < _SMALL and len(first):
            runs = copied_runs(self._range, first * self._row_bytes, count * self._row_bytes)
            return runs.view(self._rows.dtype).reshape(-1, *self._rows.shape[1:])
        out = np.empty((int(count.sum()), *self._rows.shape[1:]), self._rows.dtype)
        self.take(ranges(first, count), out)
        return out

    def add(self, slab: int, descriptor: int, size: int) -> bool:
        """Map the file of a slab, `size` bytes; False when there is no place for it."""
        with CHANGING:
            taken = -(-size // self._step) * self._step
            if self.starts[slab] >= 0:
                return True
            if self._end + taken > self._range.size:
                return False
            try:
                self._range.map(descriptor, self._end, taken)  # to the end of its place: no gap, one map a file
            except OSError:
                return False
            map_budget().add(self._range.address)
            self.starts[slab] = self._end // self._row_bytes
            self._end += taken
        return True

    def will_need(self, first: np.ndarray, stop: np.ndarray) -> None:
        """Ask the system to read these rows ahead: ranges of rows of mapped files, each (n,) int64."""
        for start, end in zip((first * self._row_bytes).tolist(), (stop * self._row_bytes).tolist(), strict=True):
            self._range.will_need(start, end - start)


def _step(row_bytes: int, wanted: int, slabs: int) -> int:
    """Files begin at multiples of this: of the row, of the page and, where they are large, of a huge page."""
    huge = lcm(row_bytes, HUGE)
    roomy = wanted >= slabs * HUGE and slabs * huge <= _MOST_ADDRESSES // 4
    return huge if roomy else lcm(row_bytes, mmap.PAGESIZE)


def _reserve(wanted: int, step: int) -> AddressRange:
    size = -(-min(wanted, _MOST_ADDRESSES) // step) * step
    while True:
        try:
            return AddressRange(size, map_budget().forget)
        except OSError:
            if size <= max(_LEAST_ADDRESSES, step):
                raise
            size = -(-(size // 8) // step) * step
