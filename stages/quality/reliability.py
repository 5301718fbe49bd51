"""How often a model is right when it says it is so sure: bins of confidence, and the calibration error over them."""

from dataclasses import dataclass

import numpy as np

BINS = 15


@dataclass(frozen=True, slots=True)
class Reliability:
    """The bins that are not empty: mean `confidence`, mean `accuracy` and `share` of the samples, each (bins,)."""

    confidence: np.ndarray
    accuracy: np.ndarray
    share: np.ndarray

    @property
    def error(self) -> float:
        """Expected calibration error: mean gap between accuracy and confidence, weighted by share (Guo et al. 2017)."""
        return float(np.sum(self.share * np.abs(self.accuracy - self.confidence)))


def reliability_bins(confidence: np.ndarray, correct: np.ndarray) -> Reliability:
    """Bins ((m - 1) / 15, m / 15], as in Guo et al. 2017 (arXiv 1706.04599). `confidence` (n,) is the probability of
    the class that was named, `correct` (n,) whether it was right."""
    confidence = np.clip(confidence, 0.0, 1.0)
    place = np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)
    counts = np.bincount(place, minlength=BINS)
    filled = np.flatnonzero(counts)
    sums = [np.bincount(place, column, minlength=BINS)[filled] for column in (confidence, correct)]
    sure, right = (column / counts[filled] for column in sums)
    return Reliability(sure, right, counts[filled] / max(1, len(confidence)))
