"""Figures of merit from predictions: fractions between 0 and 1, nats, counts. numpy over whole columns.

None of them is rounded, smoothed or estimated: a figure that the predictions do not determine is None.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ...errors import StageError
from ...quality.reliability import reliability_bins
from ..evaluation.held_out import HeldOutBatch
from ..evaluation.predictions import Predictions, student_predictions, teacher_predictions
from .measured import Columns, Measured
from .metric_spec import ClassificationSpec

_CONFUSION_CLASSES = 100  # a larger table is not read by anyone
_SINGLE = ("top1", "top5", "nll", "ece", "agreement", "kl")


def columns(spec: ClassificationSpec, said: Mapping[str, Any], batch: HeldOutBatch, teacher: bool) -> Columns:
    """The columns of `Predictions`, of the samples that have a label. StageError for classes that do not meet."""
    numbers = batch.classes(spec.label)
    chosen = np.flatnonzero(numbers >= 0)
    places, labels = torch.from_numpy(chosen), torch.from_numpy(numbers[chosen])
    ids, logits = batch.ids[chosen], said[spec.output]
    if teacher:
        return _of(teacher_predictions(ids, labels, batch.part(logits, places)))
    _check_classes(spec, logits.shape[-1], labels)
    heard = None if spec.signal is None else batch.part(batch.signals[spec.signal], places)
    return _of(student_predictions(ids, labels, logits[places.to(logits.device)], heard))


def measured(spec: ClassificationSpec, found: Columns, class_names: Sequence[str]) -> Measured:
    """Its figures, and as details what stands beside them: by class, by confidence, and the table of confusions."""
    predictions = Predictions(**found)
    if not len(predictions):
        return Measured(dict.fromkeys(spec.figures))
    names = class_names if spec.label is None else _numbered(predictions)
    every = figures(predictions, names)
    values = dict(zip(spec.figures, _in_order(spec, every), strict=True))
    return Measured(values, {key: value for key, value in every.items() if key not in _SINGLE}, len(predictions))


def _in_order(spec: ClassificationSpec, every: Mapping[str, Any]) -> list[float | None]:
    prefix = "" if spec.name is None else f"{spec.name}."
    return [every[key.removeprefix(prefix)] for key in spec.figures]


def _of(predictions: Predictions) -> Columns:
    return {name: getattr(predictions, name) for name in Predictions.__dataclass_fields__}


def _numbered(predictions: Predictions) -> list[str]:
    """Classes of a field have numbers alone."""
    return [str(number) for number in range(int(max(predictions.labels.max(), predictions.top.max())) + 1)]


def _check_classes(spec: ClassificationSpec, classes: int, labels: torch.Tensor) -> None:
    if len(labels) and int(labels.max()) >= classes:
        where = "the class number" if spec.label is None else f"field {spec.label!r}"
        raise StageError(
            f"evaluate.metrics: a held-out sample has class {int(labels.max())} ({where}), and output {spec.output!r} "
            f"tells classes 0 to {classes - 1}"
        )


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
