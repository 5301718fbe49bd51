"""Shear, translation and rotation about the centre, nearest neighbour, in fixed point: equal bytes on every machine.

It refuses interpolation: its rounding would depend on the machine. What comes in from outside is one grey.
"""

import numpy as np

_ONE = 1 << 16
_DEGREE = 0.017453292519943295


def shear(image: np.ndarray, across: float, down: float, fill: int) -> np.ndarray:
    """Rows move by `across` of their distance to the centre, columns by `down`. `image` uint8 (h, w, channels)."""
    return _affine(image, (1.0, across, 0.0), (down, 1.0, 0.0), fill)


def translate(image: np.ndarray, across: float, down: float, fill: int) -> np.ndarray:
    """Move by fractions of width and height, in whole pixels."""
    height, width = image.shape[:2]
    return _affine(image, (1.0, 0.0, float(int(across * width))), (0.0, 1.0, float(int(down * height))), fill)


def rotate(image: np.ndarray, degrees: float, fill: int) -> np.ndarray:
    """Turn counter-clockwise about the centre."""
    sine, cosine = _sine_cosine(degrees * _DEGREE)
    return _affine(image, (cosine, -sine, 0.0), (sine, cosine, 0.0), fill)


def _affine(
    image: np.ndarray, x_from: tuple[float, float, float], y_from: tuple[float, float, float], fill: int
) -> np.ndarray:
    """Pixel (x, y), counted from the centre, comes from x_from . (x, y, 1) and y_from . (x, y, 1)."""
    height, width = image.shape[:2]
    # twice the distance to the centre is a whole number, whatever the side
    x, y = 2 * np.arange(width)[None, :] - (width - 1), 2 * np.arange(height)[:, None] - (height - 1)
    columns, rows = _source(x, y, x_from, width), _source(x, y, y_from, height)
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    moved: np.ndarray = image[np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)]
    moved[~inside] = fill
    return moved


def _source(x: np.ndarray, y: np.ndarray, matrix: tuple[float, float, float], side: int) -> np.ndarray:
    """The pixel that (x, y)/2 from the centre comes from: int64, nearest, possibly outside."""
    a, b, shift = (round(value * _ONE) for value in matrix)
    fixed = a * x + b * y + 2 * shift + (side - 1) * _ONE  # twice the source, in 1/65536
    nearest: np.ndarray = (fixed + _ONE) >> 17
    return nearest


def _sine_cosine(angle: float) -> tuple[float, float]:
    """Sine and cosine for |angle| <= 0.6 by their series: sums and products round alike on every machine, a C library's
    sine need not."""
    square = angle * angle
    sine, cosine, odd, even = 0.0, 0.0, angle, 1.0
    for k in range(10):
        sine, cosine = sine + odd, cosine + even
        odd *= -square / ((2 * k + 2) * (2 * k + 3))
        even *= -square / ((2 * k + 1) * (2 * k + 2))
    return sine, cosine
