"""LSKD: logits are standardised on both sides, so that the student need not copy the teacher's scale."""

import torch
from torch import Tensor

from ..pairing import equal_pair
from ..relative_entropy import relative_entropy

_EPSILON = 1e-7


def lskd(output: Tensor, target: Tensor, *, temperature: float = 1.0) -> Tensor:
    """T^2 KL(softmax(Z(target) / T) || softmax(Z(output) / T)), (B,); both (B, C) logits. Paper: T = 2, weight 9.

    Z(x) = (x - mean) / (standard deviation + 1e-7) over the row, with C - 1 in the deviation as in the authors' code.
    Sun et al. 2024, "Logit Standardization in Knowledge Distillation", arXiv 2403.01427.
    """
    student, teacher = equal_pair(output, target, "lskd")
    log_q = (_standardized(student) / temperature).log_softmax(dim=-1)
    log_p = (_standardized(teacher) / temperature).log_softmax(dim=-1)
    return temperature**2 * relative_entropy(log_p, log_q)


def _standardized(logits: Tensor) -> Tensor:
    """Z-scores of each row. Divided by the largest logit first, epsilon too, which changes nothing but the range."""
    if logits.shape[-1] < 2:
        return torch.zeros_like(logits)
    largest = logits.detach().abs().amax(dim=-1, keepdim=True)
    largest = largest.where(largest > 0, 1.0)
    scaled = logits / largest
    centred = scaled - scaled.mean(dim=-1, keepdim=True)
    return centred / (_EPSILON / largest + scaled.std(dim=-1, keepdim=True))
