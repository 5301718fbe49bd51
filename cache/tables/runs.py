"""Runs of neighbouring rows, without a loop over them."""

import numpy as np
import pyarrow as pa

from .address_range import AddressRange


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


def copied_runs(memory: AddressRange, starts: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Runs of bytes, one after another: a new array (sum of sizes,) uint8.

    Arrow copies each run with one call, five times as fast as numpy one element after another. The offsets of its
    "binary array" are pairs (start, stop), of which every second interval is taken; the first and the last entry only
    say how many bytes there will be, from which Arrow reserves the memory of the result.
    """
    total = int(sizes.sum())
    offsets = np.empty(2 * len(starts) + 2, np.int64)
    offsets[1:-1:2], offsets[2:-1:2] = starts, starts + sizes
    offsets[0], offsets[-1] = 0, 2 * total + 2 * total // len(starts) + 2
    data = pa.foreign_buffer(memory.address, memory.size, memory)
    buffers, intervals = [None, pa.py_buffer(offsets), data], pa.array(np.arange(1, 2 * len(starts) + 1, 2))
    # no name for the array: whoever prints one, such as a debugger, would read the intervals in between
    taken = pa.Array.from_buffers(pa.large_binary(), len(offsets) - 1, buffers).take(intervals).buffers()[2]
    return np.frombuffer(taken, np.uint8, total)
