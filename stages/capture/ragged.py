"""Rows of a batch that differ in length: what a model says about padding is no knowledge, and is left out here.

Real tokens come first in everything that is made here: left padding is moved to the right. A mask with holes is
refused.
"""

import torch
from torch import Tensor

from ...cache.codecs import Ragged
from ..errors import StageError


def ragged(values: Tensor, mask: Tensor, axes: tuple[int, ...] = (0,)) -> Ragged:
    """Values (B, ...) of a batch whose `mask` (B, T) is 1 for real tokens; `axes` of one row count the T tokens.

    Raises StageError for a mask that is not one run of real tokens per row, or that does not fit the values.
    """
    start, lengths = token_runs(mask)
    for axis in axes:
        if values.shape[axis + 1] != mask.shape[1]:
            raise StageError(
                f"attention_mask is {tuple(mask.shape)}, and {tuple(values.shape)} was heard, which has no "
                f"{mask.shape[1]} tokens at axis {axis + 1}: the model made its inputs longer, and the mask of what it "
                "made is not known"
            )
    if bool(start.any()):
        for axis in axes:
            values = _shifted(values, start, axis + 1)
    return Ragged(values, lengths)


def token_runs(mask: Tensor) -> tuple[Tensor, Tensor]:
    """The first real token of each row of a mask (B, T), and their number: each (B,) int64.

    Raises StageError for a row without a real token, and for one whose real tokens do not stand side by side.
    """
    if mask.ndim != 2:
        raise StageError(f"attention_mask must be (B, tokens) to tell real tokens, not {tuple(mask.shape)}")
    real = mask.to(torch.bool)
    lengths, start = real.sum(dim=1), real.to(torch.uint8).argmax(dim=1)
    step = torch.arange(mask.shape[1], device=mask.device)
    whole = (step >= start[:, None]) & (step < (start + lengths)[:, None])
    wrong = (whole != real).any(dim=1) | (lengths == 0)
    if bool(wrong.any()):
        row = int(wrong.to(torch.uint8).argmax())
        raise StageError(
            f"attention_mask: the real tokens of row {row} of the batch do not stand side by side, or there are none"
        )
    return start, lengths


def real_mean(values: Ragged) -> Tensor:
    """Mean over the real tokens of a hidden state: (B, T, D) -> (B, D)."""
    real = real_mask(values)[:, :, None]
    total = values.values.masked_fill(~real, 0.0).sum(dim=1)
    mean: Tensor = total / values.lengths[:, None].to(total.dtype)
    return mean


def last_token(values: Ragged) -> Tensor:
    """The last real token of a hidden state: (B, T, D) -> (B, D)."""
    rows = torch.arange(len(values.values), device=values.values.device)
    last: Tensor = values.values[rows, values.lengths - 1]
    return last


def real_mask(values: Ragged) -> Tensor:
    """Which tokens of (B, T, ...) are real: (B, T) bool."""
    step = torch.arange(values.values.shape[1], device=values.values.device)
    mask: Tensor = step < values.lengths[:, None]
    return mask


def _shifted(values: Tensor, start: Tensor, axis: int) -> Tensor:
    """Each row's `axis` begins at its first real token; what then stands at the end is padding."""
    tokens = values.shape[axis]
    index = torch.arange(tokens, device=values.device) + start[:, None]
    shape = [1] * values.ndim
    shape[0], shape[axis] = len(values), tokens
    return values.take_along_dim(index.clamp_max(tokens - 1).view(shape), dim=axis)
