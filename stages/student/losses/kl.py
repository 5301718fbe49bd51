"""The soft-target loss of Hinton et al. 2015 (arXiv 1503.02531), in whatever form the cache keeps the logits."""

from typing import cast

import torch
from torch import Tensor

from ....cache import HeadLogits, SampledTargets, SparseLogits
from ...errors import StageError
from .masking import Average, blank, check_mask, token_mean
from .precision import at_least_float32, full_precision
from .relative_entropy import relative_entropy
from .sampled import sampled_kl

SoftTarget = Tensor | SparseLogits | SampledTargets | HeadLogits


@full_precision
def kl(
    output: Tensor,
    target: SoftTarget,
    *,
    temperature: float = 1.0,
    mask: Tensor | None = None,
    average: Average = "row",
) -> Tensor:
    """T^2 * KL(softmax(target / T) || softmax(output / T)) per sample, (B,); output (B, C) logits, or (B, T, V) tokens.

    A dense target is logits of the output's shape; HeadLogits are made dense here. A SparseLogits target gives the
    divergence over k + 1 buckets: the kept classes, and one for all the rest, whose mass is exact. It is a lower bound
    of the dense one, and equal to it when k = C. SampledTargets give an estimate without bias, see `sampled_kl`. Of
    tokens those that `mask` (B, T) marks count, with the `average` of masking. StageError when the cache has no tail,
    or no weights, at this temperature. Softmax in float32.
    """
    check_mask(mask, tuple(output.shape[:-1]), "kl")
    output = blank(output, mask)
    if isinstance(target, SampledTargets):
        return token_mean(sampled_kl(output, target, temperature), mask, average)
    student = at_least_float32(output) / temperature
    if isinstance(target, SparseLogits):
        return temperature**2 * token_mean(_bucket_kl(student, target, temperature), mask, average)
    dense = at_least_float32(blank(cast(Tensor, target.logits()) if isinstance(target, HeadLogits) else target, mask))
    _check_shapes(student, dense)
    teacher = (dense / temperature).log_softmax(dim=-1)
    per_token = relative_entropy(teacher, student.log_softmax(dim=-1))
    return temperature**2 * token_mean(per_token, mask, average)


def _check_shapes(student: Tensor, teacher: Tensor) -> None:
    if student.shape != teacher.shape:
        raise StageError(f"kl: the output is {tuple(student.shape)}, the signal {tuple(teacher.shape)}")


def _bucket_kl(student: Tensor, target: SparseLogits, temperature: float) -> Tensor:
    """KL over (k + 1) buckets, (B,) or (B, T); `student` (B, C) or (B, T, C) logits / T."""
    if target.classes != student.shape[-1]:
        raise StageError(f"kl: the student has {student.shape[-1]} classes, the signal has {target.classes}")
    tail = _tail(target, temperature)
    kept = at_least_float32(cast(Tensor, target.values)) / temperature
    teacher = torch.cat([kept, tail.unsqueeze(-1)], dim=-1).log_softmax(dim=-1)
    ids = cast(Tensor, target.ids)
    student_kept = student.gather(-1, ids)
    if ids.shape[-1] == student.shape[-1]:  # nothing is left over: no tail, and no gradient through log(0)
        return relative_entropy(teacher[..., :-1], student_kept - student.logsumexp(dim=-1, keepdim=True))
    rest = student.scatter(-1, ids, float("-inf")).logsumexp(dim=-1, keepdim=True)
    return relative_entropy(teacher, torch.cat([student_kept, rest], dim=-1).log_softmax(dim=-1))


def _tail(target: SparseLogits, temperature: float) -> Tensor:
    """log of the mass that is not kept, at this temperature, (B,)."""
    if temperature not in target.tails:
        stored = ", ".join(f"{t:g}" for t in target.tails)
        raise StageError(
            f"kl: the cache has no exact tail at temperature {temperature:g}, only at {stored}; "
            "use one of them, or build the cache with it under `temperatures`"
        )
    return at_least_float32(cast(Tensor, target.tails[temperature]))
