"""Mean absolute and root mean squared error of an output, over the samples that have a target and all their numbers."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from ...errors import StageError
from ..evaluation.held_out import HeldOutBatch
from .dense import numbers
from .measured import Columns, Measured
from .metric_spec import RegressionSpec


def columns(spec: RegressionSpec, said: Mapping[str, Any], batch: HeldOutBatch) -> Columns:
    """`output` and `target`, float64 (n, d). Raises StageError when their shapes differ."""
    target = batch.fields[spec.label]
    if target.dtype.kind != "f":
        raise StageError(f"evaluate.metrics: field {spec.label!r} holds text, and regression needs numbers")
    target = target.reshape(len(target), -1)
    output = numbers(said, spec.output).reshape(len(target), -1)
    if output.shape != target.shape:
        raise StageError(
            f"evaluate.metrics: output {spec.output!r} has {output.shape[1]} numbers a sample, and field "
            f"{spec.label!r} has {target.shape[1]}"
        )
    known = ~np.isnan(target).any(axis=1)
    return {"output": output[known], "target": target[known]}


def measured(spec: RegressionSpec, found: Columns) -> Measured:
    """MAE and RMSE in the label's unit; None without a sample that has a target."""
    from torchmetrics.functional.regression import mean_absolute_error, mean_squared_error

    samples = len(found["target"])
    if not samples:
        return Measured(dict.fromkeys(spec.figures))
    output, target = torch.from_numpy(found["output"]), torch.from_numpy(found["target"])
    values = (mean_absolute_error(output, target), mean_squared_error(output, target, squared=False))
    return Measured(dict(zip(spec.figures, map(float, values), strict=True)), samples=samples)
