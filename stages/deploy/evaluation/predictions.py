"""What a model said of each held-out sample, one column a fact: everything that the figures are made of.

Logits are turned into columns on the CPU in float64, whatever device and dtype they came from, so that figures do not
depend on it. What a cache of top-k or sampled logits does not tell is kept as unknown, never guessed.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import torch
from torch import Tensor

from ....cache import SampledTargets, SparseLogits
from ...errors import StageError
from ...student.losses.kl import kl

_RANKS = 5
_STORED = 3

TeacherLogits = Tensor | SparseLogits | SampledTargets


@dataclass(frozen=True, slots=True)
class Predictions:
    """Columns of n samples.

    `ids` (n,) str; `labels` (n,) int64; `top` (n, w) int64 the likeliest classes, likeliest first, w = 5 or as many as
    are known; `top_probability` (n, w) float64; `log_probability` (n,) float64 of the label, NaN where it is not known;
    `agrees` (n,) bool, whether top-1 is the teacher's; `divergence` (n,) float64, KL(teacher || model) in nats at T=1.
    """

    ids: np.ndarray
    labels: np.ndarray
    top: np.ndarray
    top_probability: np.ndarray
    log_probability: np.ndarray
    agrees: np.ndarray
    divergence: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def arrays(self) -> dict[str, np.ndarray]:
        """What is stored: ids, labels, top3 (n, 3; -1 where no class is known), top3_probability and probability."""
        missing = _STORED - min(_STORED, self.top.shape[1])
        pad = ((0, 0), (0, missing))
        return {
            "ids": self.ids,
            "labels": self.labels,
            "top3": np.pad(self.top[:, :_STORED], pad, constant_values=-1),
            "top3_probability": np.pad(self.top_probability[:, :_STORED], pad).astype(np.float32),
            "probability": np.exp(self.log_probability).astype(np.float32),
        }

    def to_npz(self) -> bytes:
        """`arrays` as an npz archive without pickles."""
        archive = io.BytesIO()
        np.savez(archive, allow_pickle=False, **self.arrays())
        return archive.getvalue()


def student_predictions(ids: np.ndarray, labels: Tensor, logits: Tensor, teacher: TeacherLogits | None) -> Predictions:
    """Columns of a student's logits (n, C). Against SparseLogits the divergence is that over k + 1 buckets, a lower
    bound; against SampledTargets an estimate, right in the mean; without a teacher it is 0, and all agree. StageError
    when they say nothing at T=1."""
    values = logits.detach().cpu().double()
    log_probability = values.log_softmax(dim=-1)
    ranked = values.topk(min(_RANKS, values.shape[-1]), dim=-1).indices
    first = ranked[:, 0] if teacher is None else _first(teacher)
    return Predictions(
        ids,
        labels.numpy(),
        ranked.numpy(),
        log_probability.gather(-1, ranked).exp().numpy(),
        log_probability.gather(-1, labels.unsqueeze(-1))[:, 0].numpy(),
        (ranked[:, 0] == first).numpy(),
        np.zeros(len(labels)) if teacher is None else kl(values, teacher).numpy(),
    )


def teacher_predictions(ids: np.ndarray, labels: Tensor, teacher: TeacherLogits) -> Predictions:
    """Columns of the teacher's own logits: it agrees with itself everywhere.

    Of SparseLogits, w is at most k, and a label that was not kept has an unknown probability. Of SampledTargets the
    ranks of all classes but the likeliest are unknown, so w is 1.
    """
    if isinstance(teacher, Tensor):
        own_words = student_predictions(ids, labels, teacher, teacher)
        return replace(own_words, agrees=np.ones(len(labels), np.bool_))  # where two logits tie as well
    kept, log_probability = _first_of_sample(teacher) if isinstance(teacher, SampledTargets) else _ranked(teacher)
    hit = kept == labels.unsqueeze(-1)
    own = torch.where(hit, log_probability, -torch.inf).amax(dim=-1)
    return Predictions(
        ids,
        labels.numpy(),
        kept[:, :_RANKS].numpy(),
        log_probability[:, :_RANKS].exp().numpy(),
        own.masked_fill(own == -torch.inf, torch.nan).numpy(),
        np.ones(len(labels), np.bool_),
        np.zeros(len(labels)),
    )


def _first(teacher: TeacherLogits) -> Tensor:
    return teacher.argmax(dim=-1) if isinstance(teacher, Tensor) else cast(Tensor, teacher.ids)[:, 0]


def _ranked(teacher: SparseLogits) -> tuple[Tensor, Tensor]:
    """The kept classes (n, k), likeliest first, and their log-probabilities at T=1."""
    if 1.0 not in teacher.tails:
        raise StageError("the cached logits have no tail at temperature 1, so no probability can be had from them")
    values = cast(Tensor, teacher.values)
    log_mass = torch.logaddexp(values.logsumexp(dim=-1), cast(Tensor, teacher.tails[1.0]))
    return cast(Tensor, teacher.ids), values - log_mass.unsqueeze(-1)


def _first_of_sample(teacher: SampledTargets) -> tuple[Tensor, Tensor]:
    """The likeliest class (n, 1) and the log of its weight at T=1: its probability as the sample tells it."""
    if 1.0 not in teacher.weights:
        raise StageError("the cached sample has no weights at temperature 1, so no probability can be had from it")
    return cast(Tensor, teacher.ids)[:, :1], cast(Tensor, teacher.weights[1.0])[:, :1].log()


def join_predictions(pieces: Sequence[Predictions]) -> Predictions:
    """One table of several, in order."""
    return Predictions(
        *(np.concatenate([getattr(piece, name) for piece in pieces]) for name in Predictions.__dataclass_fields__)
    )
