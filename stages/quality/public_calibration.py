"""The temperature of a teacher on the labelled samples of its cache, for a merge that weighs teachers by confidence.

It refuses caches with so few labels that a temperature would be noise.
"""

from dataclasses import dataclass

import numpy as np

from ...cache import Cache
from ..errors import StageError
from .answers import read_answers
from .calibration import best_temperature

_FEWEST = 20  # labelled samples


@dataclass(frozen=True, slots=True)
class PublicCalibration:
    """`temperature` is the one with the least negative log-likelihood on the plain view of `samples` labelled samples,
    of which the teacher names the share `accuracy` right."""

    temperature: float
    samples: int
    accuracy: float


def temperature_of(cache: Cache, signal: str) -> PublicCalibration:
    """Raises StageError for a cache with fewer than 20 labelled samples, or a signal that is no dense logits."""
    answers = read_answers(cache, signal)
    labels = answers.labels[answers.chosen]
    known = labels >= 0
    if known.sum() < _FEWEST:
        raise StageError(
            f"{cache.url}: {int(known.sum())} of its samples have a label, and {_FEWEST} are the fewest by which a "
            "teacher is calibrated; label some of the shared samples, or give --weights instead of --by-confidence"
        )
    logits, labels = answers.logits[known], labels[known]
    right = float(np.mean(logits.argmax(axis=1) == labels))
    return PublicCalibration(best_temperature(logits, labels), len(labels), right)
