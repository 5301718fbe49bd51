"""What can happen to an image in a view: each operation draws its parameters without the image, and replays from them.

To add one, write a class like these and its line in `OPERATIONS`. An operation refuses to look at anything but image
and parameters when it replays; its ranges matter when it draws, never later.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np

from ..errors import DataError
from .colour import brightness, contrast, saturation
from .resize import crop_box, plain, resample

# Drawn fractions are multiples of 2^-20 and factors of 2^-16: an exp() that differs in its last bit between two
# machines then still gives the same parameters, and sums of fractions are exact.
_BOX_GRID = 2.0**20
_FACTOR_GRID = 2.0**16
_DRAW_AGAIN = "the stored parameters are damaged, or are those of another policy. Draw them again"


class Operation(Protocol):
    """One entry of a policy. `columns` names its parameters, `identity` are those that change nothing."""

    @property
    def columns(self) -> tuple[str, ...]: ...

    @property
    def identity(self) -> tuple[float, ...]: ...

    def draw(self, uniforms: np.ndarray) -> np.ndarray:
        """Parameters float64 (n, P) from uniforms float64 (n, P) in [0, 1)."""
        ...

    def replay(self, image: np.ndarray, parameters: Sequence[float], size: int) -> np.ndarray:
        """The image, uint8 (height, width, channels), after the operation."""
        ...


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
            raise DataError(f"{list(parameters)} is no crop box (left, top, width, height in [0, 1]): {_DRAW_AGAIN}")
        return resample(image, crop_box(image.shape[1], image.shape[0], (left, top, wide, high)), size)


@dataclass(frozen=True, slots=True)
class Flip:
    """A horizontal flip with probability `p`; the parameter is 0 or 1."""

    p: float
    columns: ClassVar[tuple[str, ...]] = ("flipped",)
    identity: ClassVar[tuple[float, ...]] = (0.0,)

    def draw(self, uniforms: np.ndarray) -> np.ndarray:
        flipped: np.ndarray = uniforms < self.p
        return flipped.astype(np.float64)

    def replay(self, image: np.ndarray, parameters: Sequence[float], size: int) -> np.ndarray:
        return np.ascontiguousarray(image[:, ::-1]) if parameters[0] else image


@dataclass(frozen=True, slots=True)
class Jitter:
    """Brightness, contrast and saturation, in this order, each by a factor uniform in [1 - x, 1 + x]."""

    spread: tuple[float, float, float]
    columns: ClassVar[tuple[str, ...]] = ("brightness", "contrast", "saturation")
    identity: ClassVar[tuple[float, ...]] = (1.0, 1.0, 1.0)

    def draw(self, uniforms: np.ndarray) -> np.ndarray:
        factors = 1 + np.array(self.spread) * (2 * uniforms - 1)
        rounded: np.ndarray = np.round(factors * _FACTOR_GRID) / _FACTOR_GRID
        return rounded

    def replay(self, image: np.ndarray, parameters: Sequence[float], size: int) -> np.ndarray:
        for enhance, factor in zip((brightness, contrast, saturation), parameters, strict=True):
            if not 0 <= factor <= 2:
                raise DataError(f"{factor} is no factor of a jitter, which lie in [0, 2]: {_DRAW_AGAIN}")
            if factor != 1:
                image = enhance(image, factor)
        return image


# By the `op` of its settings; each takes those settings (spec.CropSpec, ...).
OPERATIONS: dict[str, Callable[[Any], Operation]] = {
    "crop": lambda spec: Crop(spec.scale, spec.ratio),
    "flip": lambda spec: Flip(spec.p),
    "jitter": lambda spec: Jitter((spec.brightness, spec.contrast, spec.saturation)),
}
