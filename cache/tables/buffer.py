"""Memory that rows are gathered into."""

from math import prod

import numpy as np

_LINE = 64  # bytes of a cache line
_LARGE = 2048  # bytes of a row from which its place in memory matters


def buffer(rows: int, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """A new array (rows, *shape) for `out=`; large rows begin on a cache line.

    Some processors copy to a place that is 1 to 63 bytes further in its page than the source at half their speed. Rows
    of a mapped file begin on cache lines, and what malloc gives for large arrays is 16 bytes behind a page.
    """
    row = np.dtype(dtype).itemsize * prod(shape)
    if row < _LARGE:
        return np.empty((rows, *shape), dtype)
    memory = np.empty(rows * row + _LINE, np.uint8)
    start = -memory.ctypes.data % _LINE
    return memory[start : start + rows * row].view(dtype).reshape(rows, *shape)
