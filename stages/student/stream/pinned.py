"""Pinned memory that rows are gathered into, for copies that overlap with the device's work.

torch takes it from its own pool and gives it back there once the copy is done, so nothing is reused too early.
"""

from collections.abc import Mapping

import numpy as np
import torch

from ....cache import SignalSchema


def pinned_parts(schema: SignalSchema, rows: int) -> dict[str, torch.Tensor]:
    """Memory for `rows` encoded rows of a signal: each dense part (rows, ...). Needs CUDA."""
    return {part.name: _pinned(part.dtype, (rows, *part.shape)) for part in schema.parts() if not part.ragged}


def as_tensors(read: Mapping[str, np.ndarray], pinned: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Parts that were read, as tensors: those that lie in `pinned` memory by themselves, the others pinned now."""
    return {part: pinned[part] if part in pinned else torch.from_numpy(x).pin_memory() for part, x in read.items()}


def _pinned(dtype: str, shape: tuple[int, ...]) -> torch.Tensor:
    return torch.empty(shape, dtype=torch.from_numpy(np.empty(0, dtype)).dtype, pin_memory=True)
