"""Cross-entropy against labels: class numbers of samples, or of each token of a row. Nothing of a teacher is read."""

import torch
from torch import Tensor
from torch.nn import functional

from ...errors import StageError
from .masking import Average, check_mask, token_mean
from .precision import at_least_float32


def cross_entropy(
    output: Tensor,
    labels: Tensor,
    *,
    label_smoothing: float = 0.0,
    mask: Tensor | None = None,
    average: Average = "row",
) -> Tensor:
    """-log softmax(output)[label] per sample, (B,); output (B, C) logits and labels (B,) int64 in [0, C), or (B, T, V)
    and (B, T).

    A label below 0 is none: such a row counts 0, and such a token not at all. `label_smoothing` e mixes the label with
    the uniform distribution, (1 - e) * one_hot + e / C (Szegedy et al. 2016, arXiv 1512.00567). StageError for labels
    of another shape, or (looked at on the CPU alone) beyond the classes.
    """
    _check_labels(output, labels)
    check_mask(mask, tuple(labels.shape), "cross_entropy")
    there = labels >= 0 if mask is None else (labels >= 0) & mask
    logits = at_least_float32(output).movedim(-1, 1) if output.ndim > 1 else at_least_float32(output)
    wanted = torch.where(there, labels, 0)
    found = functional.cross_entropy(logits, wanted, reduction="none", label_smoothing=label_smoothing)
    return found.where(there, 0.0) if found.ndim == 1 else token_mean(found, there, average)


def _check_labels(output: Tensor, labels: Tensor) -> None:
    if labels.shape != output.shape[:-1] or labels.is_floating_point():
        raise StageError(
            f"cross_entropy: labels are {tuple(labels.shape)} of {labels.dtype}; an output {tuple(output.shape)} needs "
            f"class numbers {tuple(output.shape[:-1])}"
        )
    if labels.device.type == "cpu" and labels.numel() and int(labels.max()) >= output.shape[-1]:
        raise StageError(f"cross_entropy: label {int(labels.max())}, and there are {output.shape[-1]} classes")
