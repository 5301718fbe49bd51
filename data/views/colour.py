"""Brightness, contrast, saturation and sharpness in integers, so that replayed pixels are equal bytes everywhere.

The formulas are those of Pillow's ImageEnhance, a blend `base + factor (pixel - base)` clipped to [0, 255], with the
factor in 1/65536 and rounding to nearest. It refuses floating point: a fused multiply-add would show.
"""

import numpy as np

from ..pixels import to_picture, to_pixels

_BITS = 16
_ONE = 1 << _BITS
_LEVELS = np.arange(256, dtype=np.int32)


def brightness(image: np.ndarray, factor: float) -> np.ndarray:
    """Blend with black. `image` uint8 (height, width, channels), here and below."""
    return _blend_levels(image, 0, factor)


def contrast(image: np.ndarray, factor: float) -> np.ndarray:
    """Blend with the image's mean grey."""
    grey = _grey(image)
    mean = (2 * int(grey.sum(dtype=np.int64)) + grey.size) // (2 * grey.size)
    return _blend_levels(image, mean, factor)


def saturation(image: np.ndarray, factor: float) -> np.ndarray:
    """Blend with the grey image; a grey image stays as it is."""
    if image.shape[2] == 1:
        return image
    return _blend(_grey(image).astype(np.int32), image.astype(np.int32), factor)


def sharpness(image: np.ndarray, factor: float) -> np.ndarray:
    """Blend with the smoothed image: each pixel 5/13 of itself and 1/13 of its neighbours; the border stays."""
    if min(image.shape[:2]) < 3:
        return image
    wide = image.astype(np.int32)
    rows = wide[:-2] + wide[1:-1] + wide[2:]
    total = rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:] + 4 * wide[1:-1, 1:-1]
    base = wide.copy()
    base[1:-1, 1:-1] = (2 * total + 13) // 26
    return _blend(base, wide, factor)


def _blend_levels(image: np.ndarray, base: int, factor: float) -> np.ndarray:
    """One base for all pixels: blend the 256 levels, and look them up (bytes.translate beats numpy's indexing)."""
    table = _blend(base, _LEVELS, factor).tobytes()
    levels = np.frombuffer(bytearray(image.tobytes().translate(table)), dtype=np.uint8)
    return levels.reshape(image.shape)


def _blend(base: np.ndarray | int, pixels: np.ndarray, factor: float) -> np.ndarray:
    """int32 throughout: 255 times a factor of at most 2 stays below 2^26. In place, for the big images' sake."""
    fixed = int(factor * _ONE + 0.5)
    blended: np.ndarray = pixels * fixed
    blended += base * (_ONE - fixed) + _ONE // 2
    blended >>= _BITS
    np.maximum(blended, 0, out=blended)
    np.minimum(blended, 255, out=blended)
    levels: np.ndarray = blended.astype(np.uint8)
    return levels


def _grey(image: np.ndarray) -> np.ndarray:
    """Luma of ITU-R BT.601, which Pillow computes in integers of 1/65536: uint8 (height, width, 1)."""
    if image.shape[2] == 1:
        return image
    return to_pixels(to_picture(image).convert("L"))
