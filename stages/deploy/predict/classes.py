"""What logits say in words: the likeliest classes of a row, with their probabilities."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Likely:
    """A class by number, its name (the number where nobody has said), and the softmax at temperature 1."""

    number: int
    name: str
    probability: float


def likeliest(logits: np.ndarray, names: Sequence[str], count: int) -> list[Likely]:
    """The `count` likeliest classes of one row of logits (C,), the likeliest first; of equals the lower number."""
    shifted = np.exp(logits.astype(np.float64) - logits.max())
    shares = shifted / shifted.sum()
    order = np.argsort(-shares, kind="stable")[:count]
    return [Likely(int(i), names[i] if i < len(names) else str(i), float(shares[i])) for i in order]
