"""Real rows for an export: what int8 is calibrated with, and what it is judged on."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class RealRows:
    """`inputs` {input: (N, ...)}, texts and sequences padded to one width; `labels` int64 (N,), -1 for none."""

    inputs: Mapping[str, np.ndarray]
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def batches(self, size: int) -> Iterator[dict[str, np.ndarray]]:
        """All rows, `size` at a time."""
        for start in range(0, len(self), size):
            yield {name: values[start : start + size] for name, values in self.inputs.items()}
