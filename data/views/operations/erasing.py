"""Random erasing: a rectangle of the view becomes one grey."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ...errors import DataError
from .operation import DRAW_AGAIN

_GRID = 2.0**20


@dataclass(frozen=True, slots=True)
class Erasing:
    """With probability `p`, a box of `scale` of the view's area and `ratio` (height / width, log-uniform) is filled
    (Zhong et al., arXiv 1708.04896). The box is in fractions of the sides; a box of no width erases nothing."""

    p: float
    scale: tuple[float, float]
    ratio: tuple[float, float]
    fill: int
    columns: ClassVar[tuple[str, ...]] = ("left", "top", "width", "height", "fill")
    identity: ClassVar[tuple[float, ...]] = (0.0, 0.0, 0.0, 0.0, 0.0)

    def draw(self, uniforms: np.ndarray) -> np.ndarray:
        area = self.scale[0] + uniforms[:, 0] * (self.scale[1] - self.scale[0])
        low, high = math.log(self.ratio[0]), math.log(self.ratio[1])
        ratio = np.clip(np.exp(low + uniforms[:, 1] * (high - low)), area, 1 / area)
        sides = np.clip(np.round(np.sqrt(np.stack([area / ratio, area * ratio], axis=1)) * _GRID), 1, _GRID)
        corner = np.floor(uniforms[:, 2:4] * (_GRID - sides + 1))
        box = np.concatenate([corner, sides], axis=1) / _GRID
        drawn: np.ndarray = np.concatenate([box, np.full((len(box), 1), float(self.fill))], axis=1)
        drawn[uniforms[:, 4] >= self.p] = self.identity
        return drawn

    def replay(self, image: np.ndarray, parameters: Sequence[float], size: int) -> np.ndarray:
        left, top, wide, high, fill = parameters
        inside = left >= 0 and top >= 0 and wide >= 0 and high >= 0 and left + wide <= 1 and top + high <= 1
        if not (inside and 0 <= fill <= 255):
            raise DataError(f"{list(parameters)} is no box to erase: {DRAW_AGAIN}")
        height, width = image.shape[:2]
        rows = slice(int(top * height + 0.5), int((top + high) * height + 0.5))
        columns = slice(int(left * width + 0.5), int((left + wide) * width + 0.5))
        if rows.start >= rows.stop or columns.start >= columns.stop:
            return image
        erased = image.copy()
        erased[rows, columns] = int(fill)
        return erased
