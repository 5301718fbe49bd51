"""Every kind of metric by its name: what it keeps of a batch, and what comes of that in the end."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..evaluation.held_out import HeldOutBatch
from . import all_right, auc, classification, regression, retrieval, zero_shot
from .measured import Columns, Measured
from .metric_spec import (
    AllRightSpec,
    AucSpec,
    ClassificationSpec,
    MetricSpec,
    RegressionSpec,
    RetrievalSpec,
    ZeroShotSpec,
)


@dataclass(frozen=True, slots=True)
class Context:
    """What figures need beside the columns: names of the classes, and the columns of prompts by the set's name."""

    class_names: Sequence[str]
    prompts: Mapping[str, Columns]


def columns_of(spec: MetricSpec, said: Mapping[str, Any], batch: HeldOutBatch, teacher: bool = False) -> Columns:
    """What a metric keeps of a batch of which a model `said` these outputs: (B, ...) by name."""
    if isinstance(spec, ClassificationSpec):
        return classification.columns(spec, said, batch, teacher)
    if isinstance(spec, RegressionSpec):
        return regression.columns(spec, said, batch)
    if isinstance(spec, AucSpec):
        return auc.columns(spec, said, batch)
    if isinstance(spec, RetrievalSpec):
        return retrieval.columns(spec, said, batch)
    if isinstance(spec, ZeroShotSpec):
        return zero_shot.columns(spec, said, batch)
    return all_right.columns(spec, said, batch)


def measured_of(spec: MetricSpec, found: Columns, context: Context) -> Measured:
    """The figures of a metric from the columns of all batches."""
    if isinstance(spec, ClassificationSpec):
        return classification.measured(spec, found, context.class_names)
    if isinstance(spec, RegressionSpec):
        return regression.measured(spec, found)
    if isinstance(spec, AucSpec):
        return auc.measured(spec, found)
    if isinstance(spec, RetrievalSpec):
        return retrieval.measured(spec, found)
    if isinstance(spec, ZeroShotSpec):
        return zero_shot.measured(spec, found, context.prompts[spec.prompts] if spec.prompts else None)
    assert isinstance(spec, AllRightSpec)
    return all_right.measured(spec, found)


def join_columns(pieces: Sequence[Columns]) -> Columns:
    """The columns of several batches, in order."""
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}


def said_in_numbers(found: Columns) -> bool:
    """Whether a model said finite numbers alone: targets may be missing, and of classes the label's probability
    counts."""
    heard = ("log_probability",) if "log_probability" in found else ("output", "score", "image", "text")
    return all(bool(np.isfinite(found[name]).all()) for name in heard if name in found)
