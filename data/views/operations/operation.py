"""What an operation of a view policy is: it draws its parameters without the image, and replays from them.

An operation refuses to look at anything but image and parameters when it replays; its ranges matter when it draws,
never later.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

# Drawn factors are multiples of 2^-16: an exp() that differs in its last bit between two machines then still gives the
# same parameters.
FACTOR_GRID = 2.0**16
DRAW_AGAIN = "the stored parameters are damaged, or are those of another policy. Draw them again"


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
