"""Operations on an image's levels, channel by channel: look-up tables in integers, as Pillow's ImageOps has them."""

from collections.abc import Callable

import numpy as np

_LEVELS = np.arange(256, dtype=np.int64)


def posterize(image: np.ndarray, bits: int) -> np.ndarray:
    """Keep the upper `bits` (1 to 8) of every level. `image` uint8 (height, width, channels), here and below."""
    kept: np.ndarray = image & np.uint8(256 - (1 << (8 - bits)))
    return kept


def solarize(image: np.ndarray, threshold: int) -> np.ndarray:
    """Invert every level of at least `threshold`."""
    inverted: np.ndarray = np.where(image < threshold, image, 255 - image)
    return inverted


def autocontrast(image: np.ndarray) -> np.ndarray:
    """Stretch each channel to the whole range; a channel of one level stays."""
    return _by_channel(image, _stretch)


def equalize(image: np.ndarray) -> np.ndarray:
    """Spread each channel's levels so that each is about as frequent; a channel of one level stays."""
    return _by_channel(image, _spread)


def _stretch(counts: np.ndarray) -> np.ndarray:
    seen = np.flatnonzero(counts)
    low, high = int(seen[0]), int(seen[-1])
    if low == high:
        return _LEVELS
    return (_LEVELS - low) * 255 // (high - low)


def _spread(counts: np.ndarray) -> np.ndarray:
    """The histogram's running sum before each level, in steps of a 255th of all pixels but the last level's."""
    seen = counts[counts > 0]
    step = int(seen.sum() - seen[-1]) // 255 if len(seen) > 1 else 0
    if step == 0:
        return _LEVELS
    before: np.ndarray = np.cumsum(counts) - counts
    return (before + step // 2) // step


def _by_channel(image: np.ndarray, table: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    out = np.empty_like(image)
    for channel in range(image.shape[2]):
        values = image[:, :, channel]
        levels = table(np.bincount(values.reshape(-1), minlength=256))
        out[:, :, channel] = np.clip(levels, 0, 255).astype(np.uint8)[values]
    return out
