"""Token dropout: some words of a view's text are left out. The image stays as it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np


@dataclass(frozen=True, slots=True)
class TokenDropout:
    """The parameters are `key` in [0, 1), from which each word's own number follows (`texts.py`), and `share`: words
    whose number is below it are left out. A share of 0 leaves all."""

    p: float
    share: tuple[float, float]
    columns: ClassVar[tuple[str, ...]] = ("key", "share")
    identity: ClassVar[tuple[float, ...]] = (0.0, 0.0)

    def draw(self, uniforms: np.ndarray) -> np.ndarray:
        chosen = uniforms[:, 1] / max(self.p, 2.0**-53)
        share = np.where(uniforms[:, 1] < self.p, self.share[0] + chosen * (self.share[1] - self.share[0]), 0.0)
        return np.stack([uniforms[:, 0], share], axis=1)

    def replay(self, image: np.ndarray, parameters: Sequence[float], size: int) -> np.ndarray:
        return image
