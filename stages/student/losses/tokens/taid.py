"""TAID: the target moves from the student's own distribution to the teacher's while training goes on."""

from dataclasses import dataclass
from math import exp, inf

from torch import Tensor

from ....errors import StageError
from ..masking import Average, blank, check_mask, token_mean
from ..pairing import equal_pair
from ..relative_entropy import relative_entropy


def taid(output: Tensor, target: Tensor, *, t: float, mask: Tensor | None = None, average: Average = "row") -> Tensor:
    """KL(softmax((1 - t) output.detach() + t target) || softmax(output)) per token, (B,); logits (B, C) or (B, T, V).

    Logits are mixed, not probabilities. t = 0 asks nothing, t = 1 is forward KL. The authors' code leaves out the
    entropy of the mixture, which has no gradient. Shing et al. 2025, arXiv 2501.16937.
    """
    if not 0 <= t <= 1:
        raise StageError(f"taid: t is {t:g}, it must lie between 0 and 1")
    student, teacher = equal_pair(output, target, "taid")
    check_mask(mask, tuple(student.shape[:-1]), "taid")
    student, teacher = blank(student, mask), blank(teacher, mask)
    mixed = _mixed(student.detach(), teacher, t).log_softmax(dim=-1)
    return token_mean(relative_entropy(mixed, student.log_softmax(dim=-1)), mask, average)


def _mixed(student: Tensor, teacher: Tensor, t: float) -> Tensor:
    """The ends as they are: 0 times a logit of -inf would be NaN."""
    return student if t == 0 else teacher if t == 1 else (1 - t) * student + t * teacher


@dataclass(frozen=True, slots=True)
class TaidPace:
    """Where t is, and what its next step depends on: momentum of the loss's relative fall, and the last loss."""

    t: float = 0.4
    momentum: float = 0.0
    loss: float = inf


def next_pace(
    pace: TaidPace,
    loss: float,
    progress: float,
    *,
    start: float = 0.4,
    end: float = 1.0,
    alpha: float = 5e-4,
    beta: float = 0.99,
) -> TaidPace:
    """The pace after a step that ended with `loss`, at `progress` (0 to 1) of training; t never falls.

    t grows by alpha sigmoid(momentum) (1 - t), and is never behind the line from `start` to `end`. Algorithm 1 of the
    paper, with its defaults.
    """
    if pace.loss == inf:
        return TaidPace(pace.t, pace.momentum, loss)
    fall = (pace.loss - loss) / (pace.loss + 1e-15)
    momentum = beta * pace.momentum + (1 - beta) * fall
    faster = pace.t + alpha * _sigmoid(momentum) * (1 - pace.t)
    return TaidPace(min(end, max(start + (end - start) * progress, faster)), momentum, loss)


def _sigmoid(value: float) -> float:
    return 1 / (1 + exp(-value)) if value > 0 else exp(value) / (1 + exp(value))
