"""The soft-target loss of Hinton et al. 2015 (arXiv 1503.02531), in whatever form the cache keeps the logits."""

from typing import cast

import torch
from torch import Tensor

from ....cache import HeadLogits, SampledTargets, SparseLogits
from ...errors import StageError
from .precision import at_least_float32, full_precision
from .sampled import sampled_kl

SoftTarget = Tensor | SparseLogits | SampledTargets | HeadLogits


@full_precision
def kl(output: Tensor, target: SoftTarget, *, temperature: float = 1.0) -> Tensor:
    """T^2 * KL(softmax(target / T) || softmax(output / T)) per sample, (B,); output (B, C) logits.

    A dense target is (B, C) logits; HeadLogits are made dense here. A SparseLogits target gives the divergence over
    k + 1 buckets: the kept classes, and one for all the rest, whose mass is exact. It is a lower bound of the dense
    one, and equal to it when k = C. SampledTargets give an estimate without bias, see `sampled_kl`. StageError when the
    cache has no tail, or no weights, at this temperature. Softmax in float32.
    """
    if isinstance(target, SampledTargets):
        return sampled_kl(output, target, temperature)
    student = at_least_float32(output) / temperature
    if isinstance(target, SparseLogits):
        return temperature**2 * _bucket_kl(student, target, temperature)
    dense = cast(Tensor, target.logits()) if isinstance(target, HeadLogits) else target
    teacher = (at_least_float32(dense) / temperature).log_softmax(dim=-1)
    return temperature**2 * _divergence(teacher, student.log_softmax(dim=-1))


def _bucket_kl(student: Tensor, target: SparseLogits, temperature: float) -> Tensor:
    """KL over (k + 1) buckets, (B,); `student` (B, C) logits / T."""
    if target.classes != student.shape[-1]:
        raise StageError(f"kl: the student has {student.shape[-1]} classes, the signal has {target.classes}")
    tail = _tail(target, temperature)
    kept = at_least_float32(cast(Tensor, target.values)) / temperature
    teacher = torch.cat([kept, tail.unsqueeze(-1)], dim=-1).log_softmax(dim=-1)
    ids = cast(Tensor, target.ids)
    student_kept = student.gather(-1, ids)
    if ids.shape[-1] == student.shape[-1]:  # nothing is left over: no tail, and no gradient through log(0)
        return _divergence(teacher[:, :-1], student_kept - student.logsumexp(dim=-1, keepdim=True))
    rest = student.scatter(-1, ids, float("-inf")).logsumexp(dim=-1, keepdim=True)
    return _divergence(teacher, torch.cat([student_kept, rest], dim=-1).log_softmax(dim=-1))


def _divergence(teacher: Tensor, student: Tensor) -> Tensor:
    """sum p (log p - log q) over the last axis. Where p is 0 the term is 0, whatever log p and log q are."""
    probability = teacher.exp()
    terms = probability * (teacher - student)
    return torch.where(probability > 0, terms, torch.zeros_like(terms)).sum(dim=-1)


def _tail(target: SparseLogits, temperature: float) -> Tensor:
    """log of the mass that is not kept, at this temperature, (B,)."""
    if temperature not in target.tails:
        stored = ", ".join(f"{t:g}" for t in target.tails)
        raise StageError(
            f"kl: the cache has no exact tail at temperature {temperature:g}, only at {stored}; "
            "use one of them, or build the cache with it under `temperatures`"
        )
    return at_least_float32(cast(Tensor, target.tails[temperature]))
