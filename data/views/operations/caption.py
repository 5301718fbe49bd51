"""The choice of one of a sample's texts. The image stays as it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np


@dataclass(frozen=True, slots=True)
class Caption:
    """The parameter is a fraction in [0, 1): it picks text floor(choice * n) of n, whatever n is. 0 is the first."""

    columns: ClassVar[tuple[str, ...]] = ("choice",)
    identity: ClassVar[tuple[float, ...]] = (0.0,)

    def draw(self, uniforms: np.ndarray) -> np.ndarray:
        return uniforms

    def replay(self, image: np.ndarray, parameters: Sequence[float], size: int) -> np.ndarray:
        return image
