"""Two samples in one view: mixup blends them, cutmix pastes a box of one into the other.

The partner is another sample of the same shard, so that a shard stays the unit of work. It is stored by its place in
the shard, which names its id. It refuses to mix before both images have the view's size.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np

from ...errors import DataError
from .box import box_pixels, draw_boxes
from .operation import DRAW_AGAIN, FACTOR_GRID

_ONE = 1 << 16
ALONE = -1.0  # the partner of a view that is not mixed


@runtime_checkable
class Mixing(Protocol):
    """An operation whose first parameter is the partner: in what `draw` gives a fraction in [0, 1) that picks one of
    the others, in what is stored its place in the shard; ALONE for none."""

    @property
    def columns(self) -> tuple[str, ...]: ...

    @property
    def identity(self) -> tuple[float, ...]: ...

    def draw(self, uniforms: np.ndarray) -> np.ndarray: ...

    def mix(self, image: np.ndarray, partner: np.ndarray, parameters: Sequence[float]) -> np.ndarray:
        """Both images uint8 (size, size, channels), as is the result."""
        ...

    def shares(self, parameters: np.ndarray, size: int) -> np.ndarray:
        """Parameters (n, P) -> float64 (n,): how much of each view is the sample's own; 1 where it is not mixed."""
        ...


@dataclass(frozen=True, slots=True)
class Mixup:
    """With probability `p`, share x image + (1 - share) x partner, `share` uniform in its range (Zhang et al., arXiv
    1710.09412; a range of (0.5, 1) is their Beta(1, 1), where the larger share is called the sample's own)."""

    p: float
    share: tuple[float, float]
    columns: ClassVar[tuple[str, ...]] = ("partner", "share")
    identity: ClassVar[tuple[float, ...]] = (ALONE, 1.0)

    def draw(self, uniforms: np.ndarray) -> np.ndarray:
        share = self.share[0] + uniforms[:, 1] * (self.share[1] - self.share[0])
        return np.stack([drawn_partner(uniforms[:, 0], self.p), np.round(share * FACTOR_GRID) / FACTOR_GRID], axis=1)

    def mix(self, image: np.ndarray, partner: np.ndarray, parameters: Sequence[float]) -> np.ndarray:
        share = parameters[1]
        if not 0 <= share <= 1:
            raise DataError(f"{share} is no share of a mixup, which lie in [0, 1]: {DRAW_AGAIN}")
        own = int(share * _ONE + 0.5)
        blended = image.astype(np.int32) * own + partner.astype(np.int32) * (_ONE - own) + _ONE // 2
        mixed: np.ndarray = (blended >> 16).astype(np.uint8)
        return mixed

    def shares(self, parameters: np.ndarray, size: int) -> np.ndarray:
        own: np.ndarray = np.where(parameters[:, 0] >= 0, parameters[:, 1], 1.0)
        return own


@dataclass(frozen=True, slots=True)
class Cutmix:
    """With probability `p`, a box of `scale` of the area and `ratio` (height / width) is the partner's (Yun et al.,
    arXiv 1905.04899). The share is that of whole pixels."""

    p: float
    scale: tuple[float, float]
    ratio: tuple[float, float]
    columns: ClassVar[tuple[str, ...]] = ("partner", "left", "top", "width", "height")
    identity: ClassVar[tuple[float, ...]] = (ALONE, 0.0, 0.0, 0.0, 0.0)

    def draw(self, uniforms: np.ndarray) -> np.ndarray:
        partner = drawn_partner(uniforms[:, 0], self.p)
        return np.concatenate([partner[:, None], draw_boxes(uniforms[:, 1:], self.scale, self.ratio)], axis=1)

    def mix(self, image: np.ndarray, partner: np.ndarray, parameters: Sequence[float]) -> np.ndarray:
        place = box_pixels(parameters[1:], image.shape[0], image.shape[1], "paste")
        mixed = image.copy()
        mixed[place] = partner[place]
        return mixed

    def shares(self, parameters: np.ndarray, size: int) -> np.ndarray:
        left, top, wide, high = parameters[:, 1:].T * size
        rows = np.floor(top + high + 0.5) - np.floor(top + 0.5)
        columns = np.floor(left + wide + 0.5) - np.floor(left + 0.5)
        own: np.ndarray = np.where(parameters[:, 0] >= 0, 1 - rows * columns / size**2, 1.0)
        return own


def drawn_partner(uniforms: np.ndarray, p: float) -> np.ndarray:
    """With probability `p` a fraction in [0, 1), else ALONE: (n,) from uniforms (n,)."""
    fraction = np.minimum(uniforms / max(p, 2.0**-53), 1 - 2.0**-53)
    return np.where(uniforms < p, fraction, ALONE)


def partner_places(fractions: np.ndarray, places: np.ndarray, among: int) -> np.ndarray:
    """The partner that each fraction picks of the `among` samples of a shard, never the sample at `places` itself;
    ALONE stays, and is what the only sample of a shard gets. All (n,)."""
    if among < 2:
        return np.full(len(fractions), ALONE)
    chosen = np.floor(fractions * (among - 1))
    return np.where(fractions >= 0, chosen + (chosen >= places), ALONE)
