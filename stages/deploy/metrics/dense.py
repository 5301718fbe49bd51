"""Outputs as arrays, whoever said them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from ...errors import StageError


def numbers(said: Mapping[str, Any], name: str) -> np.ndarray:
    """An output or a signal as float64 (n, ...). Raises StageError for logits that are not kept whole."""
    values = said[name]
    if not isinstance(values, Tensor):
        raise StageError(f"evaluate.metrics: {name!r} is kept as {type(values).__name__}; keep it dense to measure it")
    array: np.ndarray = values.detach().cpu().double().numpy()
    return array


def unit_rows(said: Mapping[str, Any], name: str) -> np.ndarray:
    """The same as float32 rows (n, width) of length 1; a row of zeros stays one. StageError for more axes."""
    rows = numbers(said, name)
    if rows.ndim != 2:
        raise StageError(f"evaluate.metrics: {name!r} is {rows.shape[1:]} a sample; an embedding has one axis")
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows / np.where(length > 0, length, 1)).astype(np.float32)
