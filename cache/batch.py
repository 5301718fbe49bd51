"""Some rows of a cache, decoded, as numpy arrays."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class CacheBatch:
    """`rows` (n,) row numbers of the whole cache, `ids` (n,) str, `views` (n,) uint16, `labels` (n,) int64 with -1 for
    none, `signals` {name: (n, ...) float32 array, or SparseLogits, SampledTargets, HeadLogits, TokenLogits, Ragged}."""

    rows: np.ndarray
    ids: np.ndarray
    views: np.ndarray
    labels: np.ndarray
    signals: Mapping[str, Any]

    def __len__(self) -> int:
        return len(self.rows)
