"""What a metric gives: figures by name, and what stands beside them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Columns = Mapping[str, np.ndarray]  # what is kept of each sample, one row a sample


@dataclass(frozen=True, slots=True)
class Measured:
    """`values` by figure, None where it is not known; `details` as JSON; `samples` that had a target."""

    values: Mapping[str, float | None]
    details: Mapping[str, Any] = field(default_factory=dict)
    samples: int = 0
