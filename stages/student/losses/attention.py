"""Losses between attention probabilities of equal heads and tokens. Unequal ones are an error, never broadcast."""

import torch
from torch import Tensor

from ...errors import StageError
from .precision import at_least_float32


def attention_kl(output: Tensor, target: Tensor) -> Tensor:
    """KL(target row || output row), mean over heads and query tokens, (B,); both (B, ..., T, T), rows sum to 1.

    As in MiniLM (arXiv 2002.10957, equation 2). Rows of the target are normalised again, because a cached map is
    rounded; a row of zeros says nothing and counts 0.
    """
    student, teacher = _pair(output, target, "attention_kl")
    mass = teacher.sum(dim=-1, keepdim=True)
    teacher = teacher / mass.where(mass > 0, 1.0)
    smallest = torch.finfo(student.dtype).tiny
    terms = torch.xlogy(teacher, teacher) - teacher * student.clamp_min(smallest).log()
    return terms.sum(dim=-1).flatten(1).mean(dim=1)


def attention_mse(output: Tensor, target: Tensor) -> Tensor:
    """Mean over heads, queries and keys of (output - target)^2, (B,); both (B, ..., T, T). TinyBERT, 1909.10351."""
    student, teacher = _pair(output, target, "attention_mse")
    return (student - teacher).square().flatten(1).mean(dim=1)


def _pair(output: Tensor, target: Tensor, name: str) -> tuple[Tensor, Tensor]:
    if output.shape != target.shape:
        raise StageError(
            f"{name}: the student's attention is {tuple(output.shape[1:])} (heads, T, T), the signal's "
            f"{tuple(target.shape[1:])}; keep the signal with `reduce: head-mean` when only the heads differ"
        )
    return at_least_float32(output), at_least_float32(target)
