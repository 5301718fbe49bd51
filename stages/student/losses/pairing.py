"""What two tensors must have in common before a loss compares them. Nothing is broadcast to make them fit.

Both come back in the wider of their dtypes, at least float32.
"""

from torch import Tensor

from ...errors import StageError
from .precision import alike


def equal_pair(output: Tensor, target: Tensor, name: str) -> tuple[Tensor, Tensor]:
    """The two. StageError unless they have one shape."""
    if output.shape != target.shape:
        raise StageError(f"{name}: the output is {tuple(output.shape)}, the signal {tuple(target.shape)}")
    student, teacher = alike(output, target)
    return student, teacher


def row_pair(output: Tensor, target: Tensor, name: str) -> tuple[Tensor, Tensor]:
    """Both as (B, entries of a row). StageError unless they have as many rows."""
    if output.ndim < 2 or target.ndim < 2 or len(output) != len(target):
        raise StageError(
            f"{name}: needs as many rows on both sides, (B, ...); the output is {tuple(output.shape)}, the signal "
            f"{tuple(target.shape)}"
        )
    student, teacher = alike(output, target)
    return student.flatten(1), teacher.flatten(1)


def token_pair(output: Tensor, target: Tensor, name: str) -> tuple[Tensor, Tensor]:
    """(B, T, d) and (B, T, d'). StageError unless only the widths differ."""
    if output.ndim != 3 or target.ndim != 3 or output.shape[:2] != target.shape[:2]:
        raise StageError(
            f"{name}: needs (B, T, d) with the same B and T on both sides; the output is {tuple(output.shape)}, the "
            f"signal {tuple(target.shape)}"
        )
    student, teacher = alike(output, target)
    return student, teacher


def map_pair(output: Tensor, target: Tensor, name: str) -> tuple[Tensor, Tensor]:
    """(B, C, h, w) and (B, C', h', w'). StageError for anything else."""
    if output.ndim != 4 or target.ndim != 4 or len(output) != len(target):
        raise StageError(
            f"{name}: needs feature maps (B, C, h, w) with the same B; the output is {tuple(output.shape)}, the signal "
            f"{tuple(target.shape)}"
        )
    student, teacher = alike(output, target)
    return student, teacher


def check_labels(labels: Tensor, output: Tensor, name: str) -> None:
    """StageError unless `labels` is (B,) int64 with classes of `output` (B, C).

    On a GPU the range is left to the kernel, which asserts it: to look here would wait for the device every step.
    """
    if labels.shape != output.shape[:1] or labels.is_floating_point():
        raise StageError(
            f"{name}: needs one class number for each of {len(output)} rows, the labels are {tuple(labels.shape)} of "
            f"{labels.dtype}"
        )
    if labels.device.type != "cpu" or not len(labels):
        return
    least, most, classes = int(labels.min()), int(labels.max()), output.shape[-1]
    if least < 0 or most >= classes:
        raise StageError(
            f"{name}: labels go from {least} to {most}, classes from 0 to {classes - 1}; leave out rows without a label"
        )
