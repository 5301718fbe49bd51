"""Arrays of rows as Arrow list columns, without a copy per row: what Parquet and datasets know as nested lists."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa


def list_column(values: np.ndarray) -> pa.Array:
    """Rows (n, ...) as a column of n numbers, or of lists of fixed length, nested as deep as a row has axes."""
    flat = np.ascontiguousarray(values).reshape(-1)
    column = pa.array(flat)
    for size in reversed(values.shape[1:]):
        column = pa.FixedSizeListArray.from_arrays(column, size)
    return column


def ragged_column(values: np.ndarray, lengths: np.ndarray, axes: Sequence[int]) -> pa.Array:
    """Padded rows (n, ...) whose `axes` (counted without the rows) are `lengths` (n,) long, as nested lists without the
    padding: those axes become lists of variable length."""
    rows, shape = len(values), values.shape[1:]
    real = np.ones(values.shape, bool)
    for axis in axes:
        inside = np.arange(shape[axis]) < lengths[:, None]
        real &= inside.reshape(rows, *(shape[axis] if place == axis else 1 for place in range(len(shape))))
    column = pa.array(values[real])
    for axis in reversed(range(len(shape))):
        if axis in axes:
            column = pa.ListArray.from_arrays(_offsets(lengths, shape[:axis], axes), column)
        else:
            column = pa.FixedSizeListArray.from_arrays(column, shape[axis])
    return column


def elements_column(values: np.ndarray, counts: np.ndarray) -> pa.Array:
    """Flat elements (sum of counts, ...) as one list of variable length for each row."""
    ends = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(ends), list_column(values))


def _offsets(lengths: np.ndarray, outer: Sequence[int], axes: Sequence[int]) -> pa.Array:
    """Where each list of an axis begins: every row has one for each place of its outer axes, `lengths` long."""
    lists = np.ones(len(lengths), np.int64)
    for axis, size in enumerate(outer):
        lists = lists * (lengths if axis in axes else size)
    return pa.array(np.concatenate([[0], np.cumsum(np.repeat(lengths, lists))]).astype(np.int32))
