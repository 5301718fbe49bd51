"""Means over the tokens that count. Padding is cut out before a loss computes anything, so that it can hurt nothing."""

from typing import Literal

import torch
from torch import Tensor

from ...errors import StageError

Average = Literal["row", "batch"]


def check_mask(mask: Tensor | None, shape: tuple[int, ...], name: str) -> None:
    """StageError unless `mask` is bool of exactly this shape; True marks a token that counts."""
    if mask is not None and (tuple(mask.shape) != tuple(shape) or mask.dtype != torch.bool):
        raise StageError(
            f"{name}: the mask is {tuple(mask.shape)} of {mask.dtype}; it must be {tuple(shape)} of torch.bool, True "
            "for tokens that count"
        )


def blank(values: Tensor, mask: Tensor | None) -> Tensor:
    """`values` (B, T, ...) with zeros for the tokens that `mask` (B, T) leaves out; no gradient reaches those."""
    if mask is None:
        return values
    return values.masked_fill(~mask.view(*mask.shape, *[1] * (values.ndim - mask.ndim)), 0.0)


def token_mean(values: Tensor, mask: Tensor | None, average: Average = "row") -> Tensor:
    """One number a row, (B,), of one number a token, (B, ...); `mask` has the shape of `values`.

    `row`: the mean over the row's own tokens, 0 for a row that has none. `batch`: the row's share of the mean over all
    tokens of the batch, so that the mean over rows is the mean over tokens, and long rows weigh more.
    """
    if values.ndim == 1 and mask is None:
        return values
    flat = values.flatten(1) if values.ndim > 1 else values.unsqueeze(1)
    if mask is None:
        return flat.mean(dim=1)
    kept = mask.reshape(flat.shape)
    total, count = flat.where(kept, 0.0).sum(dim=1), kept.sum(dim=1)
    if average == "row":
        return total / count.clamp_min(1)
    return total * len(total) / count.sum().clamp_min(1)
