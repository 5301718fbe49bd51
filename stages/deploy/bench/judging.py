"""What a variant still knows: its accuracy, and how often it says and decides what its float parent does.

Agreement: the share of samples whose likeliest class is the same. Flips: of all (sample, class) decisions "its
probability is at least the class's threshold", the share that differs; a class's threshold is the quantile of the
float parent's probabilities on samples that are not of the class, at one minus the stated share of false positives.
"""

import numpy as np


def accuracy(scores: np.ndarray, labels: np.ndarray) -> float:
    """Share of rows whose highest score is the label's. Scores (n, C), labels (n,)."""
    return float((scores.argmax(axis=1) == labels).mean())


def agreement(scores: np.ndarray, parent: np.ndarray) -> float:
    """Share of rows with one highest class. Both (n, C)."""
    return float((scores.argmax(axis=1) == parent.argmax(axis=1)).mean())


def flips(scores: np.ndarray, parent: np.ndarray, labels: np.ndarray, false_positives: float) -> float:
    """Share of (row, class) decisions that differ at the parent's thresholds. Scores (n, C), labels (n,)."""
    ours, theirs = _probabilities(scores), _probabilities(parent)
    negative = labels[:, None] != np.arange(theirs.shape[1])
    masked = np.where(negative, theirs, np.nan)
    thresholds = np.nanquantile(masked, 1 - false_positives, axis=0)
    return float(((ours >= thresholds) != (theirs >= thresholds)).mean())


def _probabilities(scores: np.ndarray) -> np.ndarray:
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares: np.ndarray = shifted / shifted.sum(axis=1, keepdims=True)
    return shares
