"""The random resized crop."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ...errors import DataError
from ..resize import crop_box, plain, resample
from .operation import DRAW_AGAIN

_BOX_GRID = 2.0**20  # drawn fractions are its multiples: sums of them are exact, and equal on every machine


@dataclass(frozen=True, slots=True)
class Crop:
    """A random resized crop (Szegedy et al., arXiv 1409.4842): area uniform in `scale`, ratio log-uniform in `ratio`.

    The box is in fractions of a square image's sides; `resize.crop_box` says what it is on an image of another shape.
    A ratio that does not fit is moved to the nearest that does, so the area is always as drawn. Whatever it is given,
    the result is (size, size, channels); the whole image, (0, 0, 1, 1), becomes the plain view.
    """

    scale: tuple[float, float]
    ratio: tuple[float, float]
    columns: ClassVar[tuple[str, ...]] = ("left", "top", "width", "height")
    identity: ClassVar[tuple[float, ...]] = (0.0, 0.0, 1.0, 1.0)

    def draw(self, uniforms: np.ndarray) -> np.ndarray:
        area = self.scale[0] + uniforms[:, 0] * (self.scale[1] - self.scale[0])
        low, high = math.log(self.ratio[0]), math.log(self.ratio[1])
        ratio = np.clip(np.exp(low + uniforms[:, 1] * (high - low)), area, 1 / area)
        sides = np.sqrt(np.stack([area * ratio, area / ratio], axis=1))
        sides = np.clip(np.round(sides * _BOX_GRID), 1, _BOX_GRID)
        corner = np.floor(uniforms[:, 2:4] * (_BOX_GRID - sides + 1))
        return np.concatenate([corner, sides], axis=1) / _BOX_GRID

    def replay(self, image: np.ndarray, parameters: Sequence[float], size: int) -> np.ndarray:
        left, top, wide, high = parameters
        if (left, top, wide, high) == self.identity:
            return plain(image, size)
        if not (left >= 0 and top >= 0 and wide > 0 and high > 0 and left + wide <= 1 and top + high <= 1):
            raise DataError(f"{list(parameters)} is no crop box (left, top, width, height in [0, 1]): {DRAW_AGAIN}")
        return resample(image, crop_box(image.shape[1], image.shape[0], (left, top, wide, high)), size)
