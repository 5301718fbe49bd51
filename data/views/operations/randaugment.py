"""RandAugment: a few operations in a row, drawn from a fixed list, each with a strength of its own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ...errors import DataError
from ..colour import brightness, contrast, saturation, sharpness
from ..geometry import rotate, shear, translate
from ..levels import autocontrast, equalize, posterize, solarize
from .operation import DRAW_AGAIN, FACTOR_GRID

Effect = Callable[[np.ndarray, float, int], np.ndarray]  # image, strength, fill -> image

# Place in this list is what a cache stores: new effects go to the end. The second entry is the largest strength, the
# third whether it may be negative. Ranges are those of Cubuk et al. as torchvision has them.
EFFECTS: tuple[tuple[str, float, bool, Effect], ...] = (
    ("identity", 0.0, False, lambda image, strength, fill: image),
    ("shear-x", 0.3, True, lambda image, strength, fill: shear(image, strength, 0.0, fill)),
    ("shear-y", 0.3, True, lambda image, strength, fill: shear(image, 0.0, strength, fill)),
    ("translate-x", 150 / 331, True, lambda image, strength, fill: translate(image, strength, 0.0, fill)),
    ("translate-y", 150 / 331, True, lambda image, strength, fill: translate(image, 0.0, strength, fill)),
    ("rotate", 30.0, True, rotate),
    ("brightness", 0.9, True, lambda image, strength, fill: brightness(image, 1 + strength)),
    ("saturation", 0.9, True, lambda image, strength, fill: saturation(image, 1 + strength)),
    ("contrast", 0.9, True, lambda image, strength, fill: contrast(image, 1 + strength)),
    ("sharpness", 0.9, True, lambda image, strength, fill: sharpness(image, 1 + strength)),
    ("posterize", 4.0, False, lambda image, strength, fill: posterize(image, 8 - int(strength + 0.5))),
    ("solarize", 255.0, False, lambda image, strength, fill: solarize(image, 255 - int(strength + 0.5))),
    ("autocontrast", 0.0, False, lambda image, strength, fill: autocontrast(image)),
    ("equalize", 0.0, False, lambda image, strength, fill: equalize(image)),
)
_LARGEST = np.array([largest for _, largest, _, _ in EFFECTS])
_SIGNED = np.array([signed for _, _, signed, _ in EFFECTS])
MOST = 30  # magnitudes run from 0 to 30


@dataclass(frozen=True, slots=True)
class RandAugment:
    """`number` effects, each any of EFFECTS, of a magnitude uniform in `magnitude` (0 to 30) and a random sign where
    the effect has one (Cubuk et al., arXiv 1909.13719). `fill` is the grey of what comes in from outside."""

    number: int
    magnitude: tuple[float, float]
    fill: int

    @property
    def columns(self) -> tuple[str, ...]:
        return (*(f"{what}{place}" for place in range(self.number) for what in ("effect", "strength")), "fill")

    @property
    def identity(self) -> tuple[float, ...]:
        return (0.0, 0.0) * self.number + (0.0,)

    def draw(self, uniforms: np.ndarray) -> np.ndarray:
        drawn = np.empty(uniforms.shape)
        low, high = self.magnitude
        for place in range(self.number):
            chosen = uniforms[:, 2 * place] * len(EFFECTS)
            effect = np.floor(chosen).astype(np.int64)
            # the sign is what was left of the effect's uniform: above or below one half
            sign = np.where(_SIGNED[effect] & (chosen - effect < 0.5), -1.0, 1.0)
            magnitude = (low + uniforms[:, 2 * place + 1] * (high - low)) / MOST
            drawn[:, 2 * place] = effect
            drawn[:, 2 * place + 1] = sign * np.round(_LARGEST[effect] * magnitude * FACTOR_GRID) / FACTOR_GRID
        drawn[:, -1] = self.fill
        return drawn

    def replay(self, image: np.ndarray, parameters: Sequence[float], size: int) -> np.ndarray:
        fill = int(parameters[-1])
        for effect, strength in zip(parameters[:-1:2], parameters[1::2], strict=True):
            if effect not in range(len(EFFECTS)) or not abs(strength) <= _LARGEST[int(effect)] or not 0 <= fill <= 255:
                raise DataError(f"effect {effect} of strength {strength} is none of RandAugment's: {DRAW_AGAIN}")
            image = EFFECTS[int(effect)][3](image, strength, fill)
        return image
