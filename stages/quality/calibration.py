"""Is a teacher as sure as it is right, and at which temperature would it be."""

from dataclasses import dataclass

import numpy as np

from ...cache.codecs.logits.softmax import log_softmax
from .reliability import reliability_bins

_GOLDEN = (5**0.5 - 1) / 2
_COLDEST, _HOTTEST = 0.05, 20.0


@dataclass(frozen=True, slots=True)
class Calibration:
    """`temperature` is the one with the least negative log-likelihood; `nll` in nats and `ece` before and at it."""

    temperature: float
    nll: float
    nll_calibrated: float
    ece: float
    ece_calibrated: float


def calibrate(logits: np.ndarray, labels: np.ndarray) -> Calibration:
    """Temperature scaling (Guo et al. 2017, arXiv 1706.04599): logits (n, C), labels (n,) in [0, C)."""
    found = best_temperature(logits, labels)
    (plain, certain), (cooled, sure) = (_judged(logits, labels, t) for t in (1.0, found))
    return Calibration(found, plain, cooled, certain, sure)


def best_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Golden-section search over log T: the loss is convex in 1 / T, so it has one minimum."""
    low, high = np.log(_COLDEST), np.log(_HOTTEST)
    while high - low > 1e-3:
        left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        if _nll(logits, labels, float(np.exp(left))) <= _nll(logits, labels, float(np.exp(right))):
            high = right
        else:
            low = left
    return float(np.exp((low + high) / 2))


def _judged(logits: np.ndarray, labels: np.ndarray, temperature: float) -> tuple[float, float]:
    """(nll, ece) at a temperature."""
    p = np.exp(log_softmax(logits.astype(np.float64) / temperature))
    correct = p.argmax(axis=1) == labels
    return _nll(logits, labels, temperature), reliability_bins(p.max(axis=1), correct).error


def _nll(logits: np.ndarray, labels: np.ndarray, temperature: float) -> float:
    log_p = log_softmax(logits / np.float32(temperature))
    return float(-np.mean(log_p[np.arange(len(labels)), labels], dtype=np.float64))
