"""Runs of neighbouring rows, without a loop over them."""

import numpy as np
import pyarrow as pa

_SMALL = 128  # bytes of an element from which a memory copy for each costs no more than one for each run


def ranges(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The numbers start..start+count of each pair, one after another: (sum of counts,) int64."""
    ends = np.cumsum(counts)
    found: np.ndarray = np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - (ends - counts), counts)
    return found


def merged(first: np.ndarray, stop: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Runs first..stop in any order, not overlapping -> the same ascending, neighbours made one: (n,) int64 each."""
    order = np.argsort(first)
    first, stop = first[order], stop[order]
    apart = first[1:] != stop[:-1]
    n = len(first)
    return first[np.append(True, apart)[:n]], stop[np.append(apart, True)[:n]]


def take_runs(table: np.ndarray, starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Rows start..start+count of each run, one run after another: a new array (sum of counts, *shape)."""
    size = table.itemsize * int(np.prod(table.shape[1:]))
    if size >= _SMALL or not len(starts):
        out = np.empty((int(counts.sum()), *table.shape[1:]), table.dtype)
        return np.take(table, ranges(starts, counts), axis=0, out=out, mode="clip")
    found = _copied(table, starts * size, counts * size)
    return found.view(table.dtype).reshape(-1, *table.shape[1:])


def _copied(table: np.ndarray, starts: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Runs of bytes: Arrow copies each with one call, five times as fast as numpy one element after another.

    The offsets of the "binary array" are pairs (start, stop), of which every second interval is taken; the first and
    last entries only say how many bytes there will be, from which Arrow reserves the memory of its result.
    """
    total = int(sizes.sum())
    offsets = np.empty(2 * len(starts) + 2, np.int64)
    offsets[1:-1:2], offsets[2:-1:2] = starts, starts + sizes
    offsets[0], offsets[-1] = 0, 2 * total + 2 * total // len(starts) + 2
    data = pa.foreign_buffer(table.ctypes.data, table.nbytes, table)
    values = pa.Array.from_buffers(pa.large_binary(), len(offsets) - 1, [None, pa.py_buffer(offsets), data])
    taken = values.take(pa.array(np.arange(1, 2 * len(starts) + 1, 2))).buffers()[2]
    return np.frombuffer(taken, np.uint8, total)
