"""CRD: a student's embedding must tell its teacher's from those of other samples, which a cache holds exactly.

The paper keeps a memory of past embeddings, stale by an epoch, because a teacher beside the student has no other. Rows
of a cache are the teacher's own embeddings, so here they are simply read: any random rows are a bank.
"""

from math import log

import torch
from torch import Tensor
from torch.nn import functional

from ....errors import StageError
from ..precision import alike, full_precision
from ..unit import unit


@full_precision
def crd(
    output: Tensor,
    target: Tensor,
    bank: Tensor,
    *,
    samples: int,
    temperature: float = 0.07,
    own: Tensor | None = None,
    log_z: float | Tensor | None = None,
) -> Tensor:
    """-log h(target) - sum over the bank of log(1 - h(entry)), h = u / (u + N / samples), u = e^(cos / T) / Z, (B,).

    output (B, d) after a projector to the teacher's width; target (B, d) its sample's embedding; bank (N, d) those of
    other samples, drawn from all `samples` of the cache; `own` (B, N) bool is True where an entry is the row's own
    sample, which is then left out. Z makes u a probability over samples; the authors fix it from the first batch. Do
    the same with `log_z = crd_log_z(...)`, kept for all of training; left out, this batch's own is taken. It is noise
    contrastive: not 0 at student = teacher, but lowest where the own target is nearest.
    Tian et al. 2020, "Contrastive Representation Distillation", arXiv 1910.10699, equations 17 to 19; the student's
    half of the authors' loss (the teacher's half needs a bank of stale student embeddings).
    """
    student, teacher, others = _embeddings(output, target, bank)
    kept = torch.ones(len(student), len(others), dtype=torch.bool, device=others.device) if own is None else ~own
    if kept.shape != (len(student), len(others)):
        raise StageError(f"crd: `own` is {tuple(kept.shape)}, it must be {(len(student), len(others))}")
    scores = student @ others.T / temperature
    z = _log_z(scores, samples) if log_z is None else log_z
    noise = log(len(others) / samples)
    positive = functional.softplus(noise + z - (student * teacher).sum(dim=1) / temperature)
    negative = functional.softplus(scores - z - noise)
    return positive + negative.where(kept, 0.0).sum(dim=1)


@full_precision
def crd_log_z(output: Tensor, bank: Tensor, *, samples: int, temperature: float = 0.07) -> Tensor:
    """log of the constant Z, (): `samples` times the mean over output and bank of e^(cos / T). No gradient."""
    student, _, others = _embeddings(output, output, bank)
    return _log_z(student @ others.T / temperature, samples)


def _log_z(scores: Tensor, samples: int) -> Tensor:
    return scores.detach().flatten().logsumexp(dim=0) - log(scores.numel()) + log(samples)


def _embeddings(output: Tensor, target: Tensor, bank: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    if output.ndim != 2 or output.shape != target.shape or bank.ndim != 2 or bank.shape[1] != output.shape[1]:
        raise StageError(
            f"crd: needs (B, d), (B, d) and a bank (N, d); they are {tuple(output.shape)}, {tuple(target.shape)} and "
            f"{tuple(bank.shape)}"
        )
    if not len(bank):
        raise StageError("crd: the bank is empty")
    student, teacher, others = map(unit, alike(output, target, bank))
    return student, teacher, others
