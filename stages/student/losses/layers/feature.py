"""Losses between features of equal shape: pooled embeddings, hidden states, feature maps. Nothing is broadcast.

A mask (B, T) is True for the tokens of a hidden state (B, T, d) that count; rows without any count 0.
"""

from torch import Tensor
from torch.nn import functional

from ..masking import blank, check_mask, token_mean
from ..pairing import equal_pair
from ..unit import unit


def mse(output: Tensor, target: Tensor, *, mask: Tensor | None = None) -> Tensor:
    """Mean over a row's entries of (output - target)^2, (B,); both (B, ...) of one shape. FitNets, arXiv 1412.6550."""
    student, teacher = _pair(output, target, mask, "mse")
    squares = (student - teacher).square()
    return squares.flatten(1).mean(dim=1) if mask is None else token_mean(squares.mean(dim=-1), mask)


def cosine(output: Tensor, target: Tensor, *, mask: Tensor | None = None) -> Tensor:
    """1 - cos(output, target), averaged over tokens or the grid, (B,); both (B, d), (B, T, d) or (B, C, h, w).

    The angle is between vectors of d, or of C channels. For (B, d) this is the feature distillation of CLIP-KD
    (arXiv 2307.12732) times d / 2: with unit vectors |s - t|^2 = 2 (1 - cos). A zero vector has cosine 0 with any.
    """
    student, teacher = _pair(output, target, mask, "cosine")
    if student.ndim == 4:
        student, teacher = student.movedim(1, -1), teacher.movedim(1, -1)
    return token_mean(1 - (unit(student) * unit(teacher)).sum(dim=-1), mask)


def clip_fd(output: Tensor, target: Tensor) -> Tensor:
    """Mean over the d entries of (unit(output) - unit(target))^2, (B,); both (B, d). One modality; paper: weight 2000.

    It is 2 / d times `cosine`. Yang et al. 2024, "CLIP-KD", arXiv 2307.12732, feature distillation.
    """
    student, teacher = equal_pair(output, target, "clip_fd")
    return (unit(student) - unit(teacher)).square().flatten(1).mean(dim=1)


def vkd(output: Tensor, target: Tensor, *, mask: Tensor | None = None) -> Tensor:
    """Smooth L1 between output and layer-normed target, mean over entries, (B,); both (B, d) or (B, T, d).

    The target of each vector is centred and scaled to variance 1; the output is not, and should come through an
    orthogonal projector, which keeps the student's own distances. So it is not 0 at student = teacher, but where the
    projected student equals the normalised teacher. Miles et al. 2024, "VkD", arXiv 2403.06213.
    """
    student, teacher = _pair(output, target, mask, "vkd")
    wanted = functional.layer_norm(teacher, teacher.shape[-1:])
    distance = functional.smooth_l1_loss(student, wanted, reduction="none")
    return token_mean(distance.mean(dim=-1), mask)


def _pair(output: Tensor, target: Tensor, mask: Tensor | None, name: str) -> tuple[Tensor, Tensor]:
    student, teacher = equal_pair(output, target, name)
    if mask is not None:
        check_mask(mask, tuple(student.shape[:-1]), name)
    return blank(student, mask), blank(teacher, mask)
