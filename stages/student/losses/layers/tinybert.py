"""TinyBERT: hidden states and raw attention scores of mapped layers, and a soft cross-entropy on what is predicted."""

from collections.abc import Sequence

from torch import Tensor

from ....errors import StageError
from ..masking import blank, check_mask, token_mean
from ..pairing import equal_pair
from .attention import attention_mse
from .feature import mse

_MASKED_SCORE = -100.0


def tinybert_layers(
    hidden: Sequence[tuple[Tensor, Tensor]],
    scores: Sequence[tuple[Tensor, Tensor]] = (),
    *,
    mask: Tensor | None = None,
) -> Tensor:
    """Sum over pairs (output, target) of their mse, (B,). Jiao et al. 2020, arXiv 1909.10351, equations 7 to 9.

    hidden: (B, T, d) of embeddings and mapped layers, the student's projected to the teacher's width. scores:
    (B, H, T, T) attention *before* softmax, as many heads on both sides; scores of -100 and below mask a key and are
    taken as 0 on both sides, as in the authors' code. `mask` (B, T) is True for tokens that are no padding.
    """
    if not hidden and not scores:
        raise StageError("tinybert: no layers are given")
    parts = [mse(output, target, mask=mask) for output, target in hidden]
    parts += [attention_mse(_open(output), _open(target), mask=mask) for output, target in scores]
    return sum(parts[1:], start=parts[0])


def tinybert_prediction(
    output: Tensor, target: Tensor, *, temperature: float = 1.0, mask: Tensor | None = None
) -> Tensor:
    """-softmax(target / T) . log_softmax(output / T), (B,); logits (B, C) or (B, T, V). No factor T^2 in the paper.

    It is the cross-entropy form: at student = teacher it is the teacher's entropy, its minimum.
    """
    student, teacher = equal_pair(output, target, "tinybert_prediction")
    check_mask(mask, tuple(student.shape[:-1]), "tinybert_prediction")
    student, teacher = blank(student, mask), blank(teacher, mask)
    p = (teacher / temperature).softmax(dim=-1)
    return token_mean(-(p * (student / temperature).log_softmax(dim=-1)).sum(dim=-1), mask)


def _open(scores: Tensor) -> Tensor:
    return scores.masked_fill(scores <= _MASKED_SCORE, 0.0)
