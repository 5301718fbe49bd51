"""Cutting a box out of an image and bringing it to the canonical size: Pillow's bilinear filter, and nothing before it.

It refuses to reduce in two steps (Pillow's `reducing_gap`), which would be faster and give other pixels.
"""

import numpy as np
from PIL import Image

from ..pixels import to_picture, to_pixels

Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels


def resample(image: np.ndarray, box: Box, size: int) -> np.ndarray:
    """The box of `image` uint8 (height, width, channels) as uint8 (size, size, channels)."""
    return to_pixels(to_picture(image).resize((size, size), Image.Resampling.BILINEAR, box=box))


def plain(image: np.ndarray, size: int) -> np.ndarray:
    """Shorter side to `size`, then the centre: torchvision's and transformers' way, but only for the pixels that stay.

    So a very long image costs no more than its view. Where two levels are equally near, rounding may go the other way.

    An image that has the size already is returned itself: every filter of this kind leaves it as it is.
    """
    height, width = image.shape[:2]
    return image if height == width == size else resample(image, plain_box(width, height, size), size)


def plain_box(width: int, height: int, size: int) -> Box:
    """The box that is left of the image after its shorter side became `size` and the centre was cut out."""
    if width <= height:
        return 0.0, *_span(height, width, size)[:1], float(width), *_span(height, width, size)[1:]
    left, right = _span(width, height, size)
    return left, 0.0, right, float(height)


def _span(long: int, short: int, size: int) -> tuple[float, float]:
    """Where the centre crop begins and ends on the longer side, in pixels of the image."""
    resized = int(size * long / short)
    start = (resized - size) // 2
    return start * long / resized, (start + size) * long / resized


def crop_box(width: int, height: int, box: Box) -> Box:
    """The largest centred part of a box, given as fractions (left, top, width, height), that is not squeezed.

    The fractions are those of a square image. Of another shape, as much of the longer side is left out as the plain
    view leaves out: the pixels' aspect is width / height as drawn, and the box (0, 0, 1, 1) is the plain view's.
    """
    side = min(width, height)
    left, top, wide, high = box
    x, y = (left + wide / 2) * width, (top + high / 2) * height
    across, down = wide * side / 2, high * side / 2
    return max(x - across, 0.0), max(y - down, 0.0), min(x + across, float(width)), min(y + down, float(height))
