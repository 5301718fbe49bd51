"""Contrastive losses: a row's partner must be found among the batch. Embeddings come in any length, cosines count.

None of them is 0 at student = teacher: what is best is a partner that is nearer than all others.
"""

import torch
from torch import Tensor
from torch.nn import functional

from ....errors import StageError
from ..precision import alike, full_precision
from ..unit import unit


@full_precision
def info_nce(output: Tensor, target: Tensor, *, scale: float | Tensor = 20.0) -> Tensor:
    """-log softmax over the batch of scale * cos(output, target of every row) at the row's own target, (B,); (B, d).

    `scale` is the inverse of a temperature. van den Oord et al. 2018, arXiv 1807.03748.
    """
    return _own(_cosines(output, target, "info_nce") * scale)


@full_precision
def clip_contrastive(image: Tensor, text: Tensor, *, scale: float | Tensor) -> Tensor:
    """Mean of `info_nce` from image to text and from text to image, (B,); both (B, d) of one model.

    The student's own task loss. Radford et al. 2021, "CLIP", arXiv 2103.00020; CLIP keeps its scale at 100 or below.
    """
    cosines = _cosines(image, text, "clip_contrastive") * scale
    return (_own(cosines) + _own(cosines.T)) / 2


@full_precision
def icl(image: Tensor, text: Tensor, target_image: Tensor, target_text: Tensor, *, scale: float | Tensor) -> Tensor:
    """The student's image must find the teacher's text, and its text the teacher's image; mean of both, (B,).

    image, text (B, d) at the teacher's width, after a projector where it differs. Yang et al. 2024, "CLIP-KD", arXiv
    2307.12732, interactive contrastive learning.
    """
    return (info_nce(image, target_text, scale=scale) + info_nce(text, target_image, scale=scale)) / 2


@full_precision
def siglip(image: Tensor, text: Tensor, *, scale: float | Tensor = 10.0, bias: float | Tensor = -10.0) -> Tensor:
    """-sum over the batch of log sigmoid(+-(scale cos + bias)), + for the own text, (B,); both (B, d).

    Zhai et al. 2023, "Sigmoid Loss for Language Image Pre-Training", arXiv 2303.15343.
    """
    logits = _cosines(image, text, "siglip") * scale + bias
    signs = 2 * torch.eye(len(logits), dtype=logits.dtype, device=logits.device) - 1
    return -functional.logsigmoid(signs * logits).sum(dim=1)


def _own(logits: Tensor) -> Tensor:
    """(B,) -log softmax of each row at its own number."""
    return -logits.log_softmax(dim=-1).diagonal()


def _cosines(first: Tensor, second: Tensor, name: str) -> Tensor:
    if first.ndim != 2 or first.shape != second.shape:
        raise StageError(
            f"{name}: needs (B, d) twice, of one width; they are {tuple(first.shape)} and {tuple(second.shape)}"
        )
    left, right = alike(first, second)
    return unit(left) @ unit(right).T
