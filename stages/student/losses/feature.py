"""Losses between features of equal shape: pooled embeddings, hidden states, feature maps. Nothing is broadcast."""

from torch import Tensor

from ...errors import StageError
from .precision import at_least_float32


def mse(output: Tensor, target: Tensor) -> Tensor:
    """Mean over a row's entries of (output - target)^2, (B,); both (B, ...) of one shape. FitNets, arXiv 1412.6550."""
    student, teacher = _pair(output, target, "mse")
    return (student - teacher).square().flatten(1).mean(dim=1)


def cosine(output: Tensor, target: Tensor) -> Tensor:
    """1 - cos(output, target), averaged over tokens or the grid, (B,); both (B, d), (B, T, d) or (B, C, h, w).

    The angle is between vectors of d, or of C channels. For (B, d) this is the feature distillation of CLIP-KD
    (arXiv 2307.12732) times d / 2: with unit vectors |s - t|^2 = 2 (1 - cos). A zero vector has cosine 0 with any.
    """
    student, teacher = _pair(output, target, "cosine")
    if student.ndim == 4:
        student, teacher = student.movedim(1, -1), teacher.movedim(1, -1)
    similarity = (_unit(student) * _unit(teacher)).sum(dim=-1)
    return (1 - similarity).flatten(1).mean(dim=1) if similarity.ndim > 1 else 1 - similarity


def _unit(values: Tensor) -> Tensor:
    """Length 1 over the last axis. Divided by the largest entry first: squares of bf16 values overflow float32."""
    largest = values.detach().abs().amax(dim=-1, keepdim=True)
    scaled = values / largest.where(largest > 0, 1.0)
    return scaled / scaled.square().sum(dim=-1, keepdim=True).clamp_min(1e-12).sqrt()


def _pair(output: Tensor, target: Tensor, name: str) -> tuple[Tensor, Tensor]:
    if output.shape != target.shape:
        raise StageError(f"{name}: the output is {tuple(output.shape)}, the signal {tuple(target.shape)}")
    return at_least_float32(output), at_least_float32(target)
