"""The horizontal flip."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np


@dataclass(frozen=True, slots=True)
class Flip:
    """A horizontal flip with probability `p`; the parameter is 0 or 1."""

    p: float
    columns: ClassVar[tuple[str, ...]] = ("flipped",)
    identity: ClassVar[tuple[float, ...]] = (0.0,)

    def draw(self, uniforms: np.ndarray) -> np.ndarray:
        flipped: np.ndarray = uniforms < self.p
        return flipped.astype(np.float64)

    def replay(self, image: np.ndarray, parameters: Sequence[float], size: int) -> np.ndarray:
        return np.ascontiguousarray(image[:, ::-1]) if parameters[0] else image
