"""Random erasing: a rectangle of the view becomes one grey."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ...errors import DataError
from .box import box_pixels, draw_boxes
from .operation import DRAW_AGAIN


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
        box = draw_boxes(uniforms[:, :4], self.scale, self.ratio)
        drawn: np.ndarray = np.concatenate([box, np.full((len(box), 1), float(self.fill))], axis=1)
        drawn[uniforms[:, 4] >= self.p] = self.identity
        return drawn

    def replay(self, image: np.ndarray, parameters: Sequence[float], size: int) -> np.ndarray:
        *box, fill = parameters
        rows, columns = box_pixels(box, image.shape[0], image.shape[1], "erase")
        if not 0 <= fill <= 255:
            raise DataError(f"{list(parameters)} is no box to erase with a grey: {DRAW_AGAIN}")
        if rows.start >= rows.stop or columns.start >= columns.stop:
            return image
        erased = image.copy()
        erased[rows, columns] = int(fill)
        return erased
