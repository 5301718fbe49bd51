"""Area under the ROC curve: of one score, of one a class (the mean over classes), or of several labels at once."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from ...errors import StageError
from ..evaluation.held_out import HeldOutBatch
from .dense import numbers
from .measured import Columns, Measured
from .metric_spec import AucSpec


def columns(spec: AucSpec, said: Mapping[str, Any], batch: HeldOutBatch) -> Columns:
    """`score` float64 (n, C) and `target` int64 (n,) or (n, C), of the samples that have a label."""
    score = numbers(said, spec.output)
    score = score.reshape(len(score), -1)
    field = None if spec.label is None else batch.fields[spec.label]
    target = batch.classes(spec.label) if field is None or field.ndim == 1 else _several(field, spec)
    if target.ndim == 2 and target.shape != score.shape:
        raise StageError(
            f"evaluate.metrics: field {spec.label!r} has {target.shape[1]} labels a sample, and {spec.output!r} "
            f"{score.shape[1]} scores"
        )
    known = (target >= 0).reshape(len(target), -1).all(axis=1)
    return {"score": score[known], "target": target[known]}


def measured(spec: AucSpec, found: Columns) -> Measured:
    """The area, a fraction; None where some class has no sample, or all have one."""
    samples, (key,) = len(found["target"]), spec.figures
    return Measured({key: _area(found["score"], found["target"]) if samples else None}, samples=samples)


def _several(field: np.ndarray, spec: AucSpec) -> np.ndarray:
    if not np.isin(field[~np.isnan(field)], (0, 1)).all():
        raise StageError(f"evaluate.metrics: field {spec.label!r} holds several labels that are not all 0 or 1")
    return np.where(np.isnan(field), -1, field).astype(np.int64)


def _area(score: np.ndarray, target: np.ndarray) -> float | None:
    from torchmetrics.functional.classification import binary_auroc, multiclass_auroc, multilabel_auroc

    scores, targets = torch.from_numpy(score), torch.from_numpy(target)
    if target.ndim == 2:
        whole = bool(((target.sum(axis=0) > 0) & (target.sum(axis=0) < len(target))).all())
        return float(multilabel_auroc(scores.sigmoid(), targets, target.shape[1])) if whole else None
    classes = max(2, score.shape[1])
    if target.max() >= classes:
        raise StageError(f"evaluate.metrics: a sample has class {target.max()}, and there are scores of {classes}")
    if len(np.unique(target)) < classes:
        return None
    if classes == 2:
        one = scores[:, 0] if score.shape[1] == 1 else scores[:, 1] - scores[:, 0]
        return float(binary_auroc(one.sigmoid(), targets))
    return float(multiclass_auroc(scores.softmax(dim=-1), targets, classes))
