"""Samples on which every part is right: the likeliest class, or numbers that are all within a tolerance.

A part without a target on a sample (null, or no class) does not count there; a sample without any is left out.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...errors import StageError
from ..evaluation.held_out import HeldOutBatch
from .dense import numbers
from .measured import Columns, Measured
from .metric_spec import AllRightSpec, PartSpec


def columns(spec: AllRightSpec, said: Mapping[str, Any], batch: HeldOutBatch) -> Columns:
    """`right` and `applies`, bool (n, parts), and `by` (n,). Raises StageError for shapes that do not meet."""
    found = [_part(name, part, said, batch) for name, part in spec.parts.items()]
    right, applies = np.stack([one for one, _ in found], axis=1), np.stack([one for _, one in found], axis=1)
    by = np.zeros(len(right), np.int64) if spec.by is None else batch.fields[spec.by]
    return {"right": right, "applies": applies, "by": by}


def measured(spec: AllRightSpec, found: Columns) -> Measured:
    """The share of samples with all parts right, then that of each part; and the share by the values of a field."""
    right, applies = found["right"], found["applies"]
    counted = np.asarray(applies.any(axis=1))
    whole = np.asarray((right | ~applies).all(axis=1))
    parts = [_mean(right[applies[:, i], i]) for i in range(len(spec.parts))]
    values = dict(zip(spec.figures, [_mean(whole[counted]), *parts], strict=True))
    details = {} if spec.by is None else {"breakdown": _breakdown(spec, whole[counted], found["by"][counted])}
    return Measured(values, details, int(counted.sum()))


def _part(name: str, part: PartSpec, said: Mapping[str, Any], batch: HeldOutBatch) -> tuple[np.ndarray, np.ndarray]:
    """Whether it is right, and whether it applies: bool (n,) both."""
    output = numbers(said, part.output)
    if part.tolerance is None:
        label = batch.classes(part.label)
        _check_classes(name, label, output)
        return output.argmax(axis=-1) == label, label >= 0
    if part.label is None:
        raise StageError(f"evaluate.metrics: part {name} has a tolerance, and so a label: the field of its numbers")
    target = batch.fields[part.label]
    if target.dtype.kind != "f" or target.reshape(len(target), -1).shape != output.reshape(len(target), -1).shape:
        raise StageError(
            f"evaluate.metrics: part {name}: output {part.output!r} is {output.shape[1:]} a sample, and field "
            f"{part.label!r} {target.shape[1:]}"
        )
    off = np.abs(output - target.reshape(output.shape)).reshape(len(target), -1).max(axis=1)
    return off <= part.tolerance, ~np.isnan(target).reshape(len(target), -1).any(axis=1)


def _check_classes(name: str, label: np.ndarray, output: np.ndarray) -> None:
    if output.ndim != 2:
        raise StageError(
            f"evaluate.metrics: part {name}: its output is {output.shape[1:]} a sample, not one score a class"
        )
    if len(label) and label.max() >= output.shape[1]:
        raise StageError(f"evaluate.metrics: part {name}: a sample has class {label.max()} of {output.shape[1]} scores")


def _mean(right: np.ndarray) -> float | None:
    return float(right.mean()) if len(right) else None


def _breakdown(spec: AllRightSpec, right: np.ndarray, by: np.ndarray) -> dict[str, Any]:
    names, place = np.unique(by, return_inverse=True)
    counts = np.bincount(place.reshape(-1), minlength=len(names))
    hits = np.bincount(place.reshape(-1), weights=right, minlength=len(names))
    rows = [
        {
            "value": f"{name:g}" if isinstance(name, float) else str(name),
            "samples": int(count),
            "share": float(hit / count),
        }
        for name, count, hit in zip(names.tolist(), counts, hits, strict=True)
    ]
    return {"figure": next(iter(spec.figures)), "by": spec.by, "rows": rows}
