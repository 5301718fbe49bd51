"""Losses between attention probabilities of equal heads and tokens. Unequal ones are an error, never broadcast.

A mask (B, T) is True for tokens that are no padding: masked keys have no say, masked queries are not compared (a fully
padded query comes back uniform from a model, not zero), and rows without any token count 0.
"""

import torch
from torch import Tensor

from ....errors import StageError
from ..masking import check_mask, token_mean
from ..precision import at_least_float32


def attention_kl(output: Tensor, target: Tensor, *, mask: Tensor | None = None) -> Tensor:
    """KL(target row || output row), mean over heads and query tokens, (B,); both (B, ..., T, T), rows sum to 1.

    As in MiniLM (arXiv 2002.10957, equation 2). Rows of the target are normalised again, because a cached map is
    rounded; a row of zeros says nothing and counts 0.
    """
    student, teacher = _pair(output, target, mask, "attention_kl")
    mass = teacher.sum(dim=-1, keepdim=True)
    teacher = teacher / mass.where(mass > 0, 1.0)
    smallest = torch.finfo(student.dtype).tiny
    terms = torch.xlogy(teacher, teacher) - teacher * student.clamp_min(smallest).log()
    return _query_mean(terms.sum(dim=-1), mask)


def attention_mse(output: Tensor, target: Tensor, *, mask: Tensor | None = None) -> Tensor:
    """Mean over heads, queries and keys of (output - target)^2, (B,); both (B, ..., T, T). TinyBERT, 1909.10351."""
    student, teacher = _pair(output, target, mask, "attention_mse")
    squares = (student - teacher).square()
    if mask is None:
        return squares.flatten(1).mean(dim=1)
    keys = mask.sum(dim=1).clamp_min(1).view(-1, *[1] * (squares.ndim - 2))
    return _query_mean(squares.sum(dim=-1) / keys, mask)


def _pair(output: Tensor, target: Tensor, mask: Tensor | None, name: str) -> tuple[Tensor, Tensor]:
    """Both in at least float32, with zeros at masked keys and queries."""
    if output.shape != target.shape:
        raise StageError(
            f"{name}: the student's attention is {tuple(output.shape[1:])} (heads, T, T), the signal's "
            f"{tuple(target.shape[1:])}; keep the signal with `reduce: head-mean` when only the heads differ"
        )
    student, teacher = at_least_float32(output), at_least_float32(target)
    if mask is None:
        return student, teacher
    check_mask(mask, (len(output), output.shape[-1]), name)
    padded = ~(mask.unsqueeze(1) & mask.unsqueeze(2)).view(len(mask), *[1] * (output.ndim - 3), *output.shape[-2:])
    return student.masked_fill(padded, 0.0), teacher.masked_fill(padded, 0.0)


def _query_mean(values: Tensor, mask: Tensor | None) -> Tensor:
    """(B,) of one number for each head and query, (B, ..., T)."""
    if mask is None:
        return values.flatten(1).mean(dim=1)
    queries = mask.view(len(mask), *[1] * (values.ndim - 2), -1).expand_as(values)
    return token_mean(values, queries)
