"""Losses against numbers, and between features, that grow like |x| for outliers: smooth L1 and Huber."""

from torch import Tensor
from torch.nn import functional

from ..masking import blank, check_mask, token_mean
from ..pairing import equal_pair


def smooth_l1(output: Tensor, target: Tensor, *, delta: float = 1.0, mask: Tensor | None = None) -> Tensor:
    """Mean over a row's entries of d^2 / (2 delta) below |d| = delta, |d| - delta / 2 above it, (B,); d = output -
    target, both (B, ...) of one shape. Girshick 2015, "Fast R-CNN", arXiv 1504.08083, with its corner at delta = 1.

    `mask` (B, T) is True for the tokens of (B, T, ...) that count; rows without any count 0.
    """
    student, teacher = equal_pair(output, target, "smooth_l1")
    if mask is not None:
        check_mask(mask, tuple(student.shape[: mask.ndim]), "smooth_l1")
    student, teacher = blank(student, mask), blank(teacher, mask)
    distance = functional.smooth_l1_loss(student, teacher, reduction="none", beta=delta)
    if mask is None:
        return distance.flatten(1).mean(dim=1) if distance.ndim > 1 else distance
    return token_mean(distance.flatten(2).mean(dim=2) if distance.ndim > 2 else distance, mask)


def huber(output: Tensor, target: Tensor, *, delta: float = 1.0, mask: Tensor | None = None) -> Tensor:
    """delta * smooth_l1, so that the square is d^2 / 2 whatever delta is, (B,). Huber 1964, Ann. Math. Statist. 35."""
    return delta * smooth_l1(output, target, delta=delta, mask=mask)
