"""The seam between a predictor and whatever answers: a checkpoint under torch, or an exported file in its runtime."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from .reading import Reading


class Model(Protocol):
    """A model that stands ready in memory.

    `place` is its folder, for messages; `readings` say how each of its inputs is made, by input name; `classes` are the
    names of its classes, () where nobody has said.
    """

    @property
    def place(self) -> str: ...

    @property
    def readings(self) -> Mapping[str, Reading]: ...

    @property
    def classes(self) -> Sequence[str]: ...

    def outputs(self, given: frozenset[str]) -> tuple[str, ...]:
        """What it says of these inputs alone, in order; () when it says nothing of them."""
        ...

    def run(self, inputs: Mapping[str, np.ndarray], given: frozenset[str]) -> Mapping[str, np.ndarray]:
        """Of a batch of tensors (B, ...), {output: float (B, ...)} for `outputs(given)`. Called by one thread at a
        time."""
        ...
