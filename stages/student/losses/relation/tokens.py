"""MiniLMv2: relations between the tokens of a row, so that neither heads nor widths need to be equal."""

import torch
from torch import Tensor

from ....errors import StageError
from ..masking import blank, check_mask, token_mean
from ..pairing import token_pair
from ..precision import full_precision
from ..relative_entropy import relative_entropy


@full_precision
def minilm(output: Tensor, target: Tensor, *, heads: int = 1, mask: Tensor | None = None) -> Tensor:
    """KL(relations of target || relations of output), mean over relation heads and query tokens, (B,).

    output (B, T, d), target (B, T, d'): the queries, keys or values of a layer with all heads side by side, or any
    hidden states. Both are cut into `heads` relation heads of width r; relations = softmax(x x^t / sqrt(r)). `mask`
    (B, T) is True for tokens that are no padding; masked ones are neither keys nor queries, and a row without tokens
    counts 0. Wang et al. 2021, "MiniLMv2", arXiv 2012.15828, equations 4 to 6.
    """
    student, teacher = token_pair(output, target, "minilm")
    check_mask(mask, tuple(student.shape[:2]), "minilm")
    log_q = _relations(blank(student, mask), heads, mask, "output")
    log_p = _relations(blank(teacher, mask), heads, mask, "signal")
    entropy = relative_entropy(log_p, log_q)
    return token_mean(entropy, None if mask is None else mask.unsqueeze(1).expand_as(entropy))


def minilm_qkv(output: Tensor, target: Tensor, *, heads: int, mask: Tensor | None = None) -> Tensor:
    """Mean of `minilm` over queries, keys and values, (B,); (B, 3, H, T, r) and (B, 3, H', T, r').

    The paper adds the three with equal weights, and takes more relation heads than the student has attention heads.
    """
    if output.ndim != 5 or target.ndim != 5 or output.shape[1] != 3 or target.shape[1] != 3:
        raise StageError(
            f"minilm: needs (B, 3, H, T, r) on both sides; they are {tuple(output.shape)} and {tuple(target.shape)}"
        )
    student, teacher = output.transpose(2, 3).flatten(3), target.transpose(2, 3).flatten(3)
    parts = [minilm(student[:, part], teacher[:, part], heads=heads, mask=mask) for part in range(3)]
    return (parts[0] + parts[1] + parts[2]) / 3


def _relations(values: Tensor, heads: int, mask: Tensor | None, side: str) -> Tensor:
    """(B, heads, T, T) log relations."""
    rows, tokens, width = values.shape
    if heads < 1 or width % heads:
        raise StageError(f"minilm: the {side} is {width} wide, which {heads} relation heads do not divide")
    split = values.reshape(rows, tokens, heads, -1).transpose(1, 2)
    scores: Tensor = split @ split.transpose(2, 3) / (width // heads) ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask.view(rows, 1, 1, tokens), torch.finfo(scores.dtype).min)
    return scores.log_softmax(dim=-1)
