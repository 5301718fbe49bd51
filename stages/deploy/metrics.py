"""Figures of merit from predictions: fractions between 0 and 1, nats, counts. numpy over whole columns.

None of them is rounded, smoothed or estimated: a figure that the predictions do not determine is None.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..quality.reliability import reliability_bins
from .predictions import Predictions

_CONFUSION_CLASSES = 100  # a larger table is not read by anyone


def figures(predictions: Predictions, class_names: Sequence[str]) -> dict[str, Any]:
    """Everything that is said of a model's predictions, as JSON. `class_names` are all classes, in order."""
    labels, top = predictions.labels, predictions.top
    bins = reliability(predictions)
    found: dict[str, Any] = {
        "samples": len(predictions),
        "top1": float(np.mean(top[:, 0] == labels)),
        "top5": top_five(predictions, len(class_names)),
        "nll": negative_log_likelihood(predictions),
        "ece": expected_calibration_error(bins),
        "agreement": float(np.mean(predictions.agrees)),
        "kl": float(np.mean(predictions.divergence)),
        "per_class": per_class(predictions, class_names),
        "reliability": bins,
    }
    if len(class_names) <= _CONFUSION_CLASSES:
        found["confusion"] = confusion(predictions, len(class_names)).tolist()
    return found


def top_five(predictions: Predictions, classes: int) -> float | None:
    """Share of samples whose label is among the five likeliest classes (of fewer classes: all of them); None when the
    predictions rank fewer."""
    if predictions.top.shape[1] < min(5, classes):
        return None
    return float(np.mean(np.any(predictions.top[:, :5] == predictions.labels[:, None], axis=1)))


def negative_log_likelihood(predictions: Predictions) -> float | None:
    """Mean of -log p(label) in nats; None when a label's probability is not known."""
    mean = float(-np.mean(predictions.log_probability))
    return None if np.isnan(mean) else mean


def reliability(predictions: Predictions) -> list[dict[str, float]]:
    """Mean confidence, accuracy and share of samples of each bin that is not empty.

    Bins are ((m - 1) / 15, m / 15], as in Guo et al. 2017 (arXiv 1706.04599); confidence is the probability of top-1.
    """
    correct = predictions.top[:, 0] == predictions.labels
    bins = reliability_bins(predictions.top_probability[:, 0], correct)
    return [
        {"confidence": float(mean), "accuracy": float(accuracy), "share": float(share)}
        for mean, accuracy, share in zip(bins.confidence, bins.accuracy, bins.share, strict=True)
    ]


def expected_calibration_error(bins: Sequence[dict[str, float]]) -> float:
    """ECE of `reliability`'s bins: mean gap between accuracy and confidence, weighted by share (Guo et al. 2017)."""
    return float(sum(one["share"] * abs(one["accuracy"] - one["confidence"]) for one in bins))


def per_class(predictions: Predictions, class_names: Sequence[str]) -> list[dict[str, Any]]:
    """Samples and top-1 accuracy of each class; None for a class without samples."""
    labels = predictions.labels
    counts = np.bincount(labels, minlength=len(class_names))
    hits = np.bincount(labels[predictions.top[:, 0] == labels], minlength=len(class_names))
    return [
        {"class": name, "samples": int(count), "top1": float(hit / count) if count else None}
        for name, count, hit in zip(class_names, counts, hits, strict=True)
    ]


def confusion(predictions: Predictions, classes: int) -> np.ndarray:
    """Counts (classes, classes) int64: true class by predicted class."""
    cells = predictions.labels * classes + predictions.top[:, 0]
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes)
