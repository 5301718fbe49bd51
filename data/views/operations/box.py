"""Boxes in fractions of a view's sides: how they are drawn, and which pixels they are."""

import math
from collections.abc import Sequence

import numpy as np

from ...errors import DataError
from .operation import DRAW_AGAIN

_GRID = 2.0**20  # drawn fractions are its multiples: sums of them are exact, and equal on every machine


def draw_boxes(uniforms: np.ndarray, scale: tuple[float, float], ratio: tuple[float, float]) -> np.ndarray:
    """Boxes (n, 4) left, top, width, height from uniforms (n, 4): area uniform in `scale`, height / width log-uniform
    in `ratio`, moved to the nearest that fits."""
    area = scale[0] + uniforms[:, 0] * (scale[1] - scale[0])
    low, high = math.log(ratio[0]), math.log(ratio[1])
    drawn = np.clip(np.exp(low + uniforms[:, 1] * (high - low)), area, 1 / area)
    sides = np.clip(np.round(np.sqrt(np.stack([area / drawn, area * drawn], axis=1)) * _GRID), 1, _GRID)
    corner = np.floor(uniforms[:, 2:4] * (_GRID - sides + 1))
    return np.concatenate([corner, sides], axis=1) / _GRID


def box_pixels(box: Sequence[float], height: int, width: int, what: str) -> tuple[slice, slice]:
    """The rows and columns of a box, none where it is thinner than a pixel. Raises DataError, saying `what` it is no
    box for, when it does not lie inside the view."""
    left, top, wide, high = box
    if not (left >= 0 and top >= 0 and wide >= 0 and high >= 0 and left + wide <= 1 and top + high <= 1):
        raise DataError(f"{list(box)} is no box to {what}: {DRAW_AGAIN}")
    rows = slice(int(top * height + 0.5), int((top + high) * height + 0.5))
    return rows, slice(int(left * width + 0.5), int((left + wide) * width + 0.5))
