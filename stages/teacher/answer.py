"""Single rows of what a teacher said and of what a cache has kept, for comparing one with the other."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from ...cache.codecs import LENGTHS, HeadLogits, QueryKey, Ragged
from ...cache.format.schema import SignalSchema
from .signals.signal_schema import Heard


def encoded_rows(
    schema: SignalSchema, parts: Mapping[str, np.ndarray], rows: np.ndarray
) -> list[dict[str, np.ndarray]]:
    """Each of some rows by itself: {part: (1, ...)}, and of ragged parts its elements."""
    ends = np.zeros(0, np.int64)
    if schema.packing is not None:
        ends = np.concatenate([[0], np.cumsum(schema.packing.counts(parts[LENGTHS].astype(np.int64)))])

    def one(row: int) -> dict[str, np.ndarray]:
        return {
            part.name: parts[part.name][slice(ends[row], ends[row + 1]) if part.ragged else slice(row, row + 1)]
            for part in schema.parts()
        }

    return [one(row) for row in rows.tolist()]


def heard_row(values: Heard, row: int) -> Any:
    """One row of what was heard, as numpy arrays in float32, in the form that its codec encodes."""
    if isinstance(values, Ragged):
        return Ragged(_array(values.values, row), _array(values.lengths, row))
    if isinstance(values, QueryKey):
        lengths = None if values.lengths is None else _array(values.lengths, row)
        return replace(values, query=_array(values.query, row), key=_array(values.key, row), lengths=lengths)
    if isinstance(values, HeadLogits):
        return HeadLogits(heard_row(values.hidden, row), _whole(values.weight), _whole(values.bias))
    return _array(values, row)


def largest_value(value: Any) -> float:
    """The largest absolute value of a row, to which rounding of another machine is in proportion."""
    if isinstance(value, Ragged):
        return _largest(value.values)
    if isinstance(value, QueryKey):
        return 1.0  # probabilities
    return largest_value(value.hidden) if isinstance(value, HeadLogits) else _largest(value)


def _largest(values: np.ndarray) -> float:
    return float(np.abs(values).max(initial=0))


def _array(values: torch.Tensor, row: int) -> np.ndarray:
    return _whole(values[row : row + 1])


def _whole(values: torch.Tensor) -> np.ndarray:
    values = values.detach().cpu()
    found: np.ndarray = (values.float() if values.is_floating_point() else values).numpy()
    return found
