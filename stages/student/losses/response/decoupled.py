"""Losses that treat the labelled class apart from the others: DKD and NKD. They need labels beside the logits."""

import torch
from torch import Tensor

from ..pairing import check_labels, equal_pair
from ..relative_entropy import relative_entropy


def dkd(
    output: Tensor, target: Tensor, labels: Tensor, *, temperature: float = 4.0, alpha: float = 1.0, beta: float = 8.0
) -> Tensor:
    """T^2 (alpha TCKD + beta NCKD), (B,); output and target (B, C) logits, labels (B,) int64.

    TCKD is the KL between (label, all others) as two classes; NCKD that among the others, renormalised. With alpha = 1
    and beta = 1 - p(label) it is `kl`. Zhao et al. 2022, "Decoupled Knowledge Distillation", arXiv 2203.08679.
    """
    student, teacher = equal_pair(output, target, "dkd")
    check_labels(labels, student, "dkd")
    log_q, log_p = (student / temperature).log_softmax(dim=-1), (teacher / temperature).log_softmax(dim=-1)
    binary = relative_entropy(_label_or_not(log_p, labels), _label_or_not(log_q, labels))
    others = relative_entropy(_others(teacher / temperature, labels), _others(student / temperature, labels))
    return temperature**2 * (alpha * binary + beta * others)


def nkd(output: Tensor, target: Tensor, labels: Tensor, *, temperature: float = 1.0, gamma: float = 1.5) -> Tensor:
    """-p(label) log q(label) - gamma T^2 sum over the others of p' log q', (B,); shapes as for `dkd`.

    p, q at T = 1; p', q' at T, renormalised among the classes that are not the label. It is a cross-entropy: not 0 at
    student = teacher, and its first part wants q(label) = 1. Yang et al. 2023, "From Knowledge Distillation to
    Self-Knowledge Distillation", arXiv 2303.13005, equation 9. The authors' code builds a mask that excludes no class
    (`ones_like(...).scatter_(..., 1)`); here, as in the formula, the label is excluded.
    """
    student, teacher = equal_pair(output, target, "nkd")
    check_labels(labels, student, "nkd")
    column = labels.unsqueeze(-1)
    own = teacher.softmax(dim=-1).gather(-1, column) * student.log_softmax(dim=-1).gather(-1, column)
    log_p, log_q = _others(teacher / temperature, labels), _others(student / temperature, labels)
    p = log_p.exp()
    others = torch.where(p > 0, p * log_q, torch.zeros_like(p)).sum(dim=-1)
    return -own.squeeze(-1) - gamma * temperature**2 * others


def _label_or_not(log_probability: Tensor, labels: Tensor) -> Tensor:
    """(B, 2) log of the label's probability and of the rest's, summed in logs: a tiny rest keeps its digits."""
    own = log_probability.gather(-1, labels.unsqueeze(-1))
    rest = log_probability.gather(-1, _other_classes(log_probability, labels)).logsumexp(-1, keepdim=True)
    return torch.cat([own, rest], dim=-1)


def _others(logits: Tensor, labels: Tensor) -> Tensor:
    """(B, C - 1) log probabilities among the classes that are not the label."""
    return logits.gather(-1, _other_classes(logits, labels)).log_softmax(dim=-1)


def _other_classes(logits: Tensor, labels: Tensor) -> Tensor:
    """(B, C - 1) the classes that are not the label. Not by a mask: picking by one waits for a GPU every step."""
    classes = torch.arange(logits.shape[-1] - 1, device=logits.device)
    return classes + (classes >= labels.unsqueeze(-1))
