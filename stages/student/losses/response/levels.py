"""Multi-level logit distillation: rows, relations of rows and relations of classes, at several temperatures at once."""

from collections.abc import Sequence

from torch import Tensor

from ..pairing import equal_pair
from ..precision import full_precision
from ..relative_entropy import relative_entropy

_TEMPERATURES = (2.0, 3.0, 4.0, 5.0, 6.0)


@full_precision
def multi_level(output: Tensor, target: Tensor, *, temperatures: Sequence[float] = _TEMPERATURES) -> Tensor:
    """Sum over temperatures of the three levels, (B,); both (B, C) logits.

    instance: T^2 KL(p || q) of the row. batch: |P P^t - Q Q^t|^2 / B, of which a row gets the sum over its B entries.
    class: |P^t P - Q^t Q|^2 / C, the same number for every row. P, Q are (B, C) softmaxes at T. The mean over rows is
    the authors' value on one view. Their selection of confident rows and classes needs a second, weakly augmented view
    and is left out. Jin et al. 2023, "Multi-Level Logit Distillation", CVPR.
    """
    student, teacher = equal_pair(output, target, "multi_level")
    levels = [_level(student / t, teacher / t, t) for t in temperatures]
    return sum(levels[1:], start=levels[0])


def _level(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    log_q, log_p = student.log_softmax(dim=-1), teacher.log_softmax(dim=-1)
    q, p = log_q.exp(), log_p.exp()
    instance = temperature**2 * relative_entropy(log_p, log_q)
    batch = (p @ p.T - q @ q.T).square().sum(dim=-1)
    classes = (p.T @ p - q.T @ q).square().sum() / p.shape[-1]
    return instance + batch + classes
