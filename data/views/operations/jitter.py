"""The colour jitter."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ...errors import DataError
from ..colour import brightness, contrast, saturation
from .operation import DRAW_AGAIN, FACTOR_GRID


@dataclass(frozen=True, slots=True)
class Jitter:
    """Brightness, contrast and saturation, in this order, each by a factor uniform in [1 - x, 1 + x]."""

    spread: tuple[float, float, float]
    columns: ClassVar[tuple[str, ...]] = ("brightness", "contrast", "saturation")
    identity: ClassVar[tuple[float, ...]] = (1.0, 1.0, 1.0)

    def draw(self, uniforms: np.ndarray) -> np.ndarray:
        factors = 1 + np.array(self.spread) * (2 * uniforms - 1)
        rounded: np.ndarray = np.round(factors * FACTOR_GRID) / FACTOR_GRID
        return rounded

    def replay(self, image: np.ndarray, parameters: Sequence[float], size: int) -> np.ndarray:
        for enhance, factor in zip((brightness, contrast, saturation), parameters, strict=True):
            if not 0 <= factor <= 2:
                raise DataError(f"{factor} is no factor of a jitter, which lie in [0, 2]: {DRAW_AGAIN}")
            if factor != 1:
                image = enhance(image, factor)
        return image
