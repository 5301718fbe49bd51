"""The seam between samples and a teacher: rows of views and field values in, named tensors out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Rows:
    """n rows of one shard, row-major (sample, view).

    `ids` (n,) are their samples', `views` (n, H, W, C) uint8 where images were asked for, `fields` the n values of each
    field that was asked for, `captions` float64 (n,) in [0, 1): which of several texts each row's view has drawn, None
    where the views choose no caption.
    """

    shard: str
    ids: Sequence[str]
    views: np.ndarray | None
    fields: Mapping[str, Sequence[Any]]
    captions: np.ndarray | None = None


class Prepare(Protocol):
    """Makes a teacher's inputs. Picklable; runs in loader workers on the CPU, and is never called without rows."""

    @property
    def images(self) -> bool:
        """Whether it reads the views."""
        ...

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of the source that it reads."""
        ...

    @property
    def longest(self) -> int | None:
        """The most tokens that a row may have; None where rows have no tokens, or all as many."""
        ...

    def __call__(self, rows: Rows) -> dict[str, Tensor]:
        """The teacher's inputs, each (n, ...). Raises DataError or StageError, naming the sample, for what it cannot
        prepare."""
        ...
