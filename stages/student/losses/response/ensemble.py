"""Several teachers as one: the mean of their softmaxes. Their logits are never averaged."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ....errors import StageError
from ..pairing import equal_pair
from ..relative_entropy import relative_entropy


def mean_of_softmaxes(targets: Sequence[Tensor], *, weights: Tensor | None = None, temperature: float = 1.0) -> Tensor:
    """log of the weighted mean of softmax(target / T) over K teachers, in at least float32; each target (..., C).

    `weights` (K,), or (B, K) with a say of its own for every row; at least 0 with a sum above 0, and divided by it.
    The result is logits at T = 1 and no others: a mean of softmaxes cannot be tempered again.
    Used on rows of an affinity matrix it is the target of MobileCLIP (Vasu et al. 2024, arXiv 2311.17049).
    """
    if not targets:
        raise StageError("several teachers: the list of targets is empty")
    spoken = [equal_pair(target, targets[0], "several teachers")[0] for target in targets]
    logs = torch.stack([(values / temperature).log_softmax(dim=-1) for values in spoken])
    share = _log_shares(weights, logs)
    return (logs + share).logsumexp(dim=0)


def ensemble_kl(
    output: Tensor, targets: Sequence[Tensor], *, weights: Tensor | None = None, temperature: float = 1.0
) -> Tensor:
    """T^2 KL(mean of softmax(target / T) || softmax(output / T)), (B,) or (B, T); output and each target (B, ..., C).

    You et al. 2017, "Learning from Multiple Teacher Networks", KDD.
    """
    log_p = mean_of_softmaxes(targets, weights=weights, temperature=temperature)
    student, log_p = equal_pair(output, log_p, "ensemble_kl")
    log_q = (student / temperature).log_softmax(dim=-1)
    return temperature**2 * relative_entropy(log_p, log_q)


def _log_shares(weights: Tensor | None, logs: Tensor) -> Tensor:
    """log of each teacher's share, (K, 1, ...) or (K, B, 1, ...); `logs` is (K, B, ..., C)."""
    teachers = len(logs)
    if weights is None:
        weights = torch.ones(teachers, dtype=logs.dtype, device=logs.device)
    if tuple(weights.shape) not in ((teachers,), (logs.shape[1], teachers)):
        raise StageError(
            f"several teachers: weights are {tuple(weights.shape)}; they must be ({teachers},), one for each teacher, "
            f"or ({logs.shape[1]}, {teachers}), one for each row and teacher"
        )
    share = (weights / weights.sum(dim=-1, keepdim=True)).to(logs.dtype).movedim(-1, 0)
    return share.view(*share.shape, *[1] * (logs.ndim - share.ndim)).log()
