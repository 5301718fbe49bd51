"""What travels from the loader workers to the device: some whole samples of one shard, all their views."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch


@dataclass(frozen=True, slots=True)
class PreparedBatch:
    """Samples [start, stop) of `shard` in source order, row-major (sample, view); n rows.

    `ids` (samples,) str, `labels` (samples,) int64 with -1 for none, `parameters` (n, P) float64, `views` (n, H, W, C)
    uint8 or None when pixels are not kept, `inputs` the teacher's own. It took `seconds` of the CPU to prepare.
    """

    shard: str
    start: int
    stop: int
    last: bool
    ids: np.ndarray
    labels: np.ndarray
    parameters: np.ndarray
    views: torch.Tensor | None
    inputs: Mapping[str, torch.Tensor]
    seconds: float = 0.0

    def pin_memory(self) -> "PreparedBatch":
        """Called by the DataLoader's pinning thread: copies to the device then overlap with its work."""
        views = None if self.views is None else self.views.pin_memory()
        return replace(self, views=views, inputs={name: x.pin_memory() for name, x in self.inputs.items()})

    @property
    def rows(self) -> int:
        return len(self.parameters)
