"""Reductions of what was heard, on the teacher's device, before it is encoded."""

from collections.abc import Callable

import torch

from ..errors import StageError


def _head_mean(values: torch.Tensor) -> torch.Tensor:
    """(B, heads, T, T) -> (B, T, T)."""
    return _expect(values, 4, "head-mean", "an attention (B, heads, T, T)").mean(dim=1)


def _cls(values: torch.Tensor) -> torch.Tensor:
    """(B, T, D) -> (B, D), the first token."""
    return _expect(values, 3, "cls", "a hidden state (B, T, D)")[:, 0]


def _mean(values: torch.Tensor) -> torch.Tensor:
    """(B, T, D) -> (B, D) over tokens; (B, C, H, W) -> (B, C) over the grid."""
    return values.mean(dim=(2, 3)) if values.ndim == 4 else _expect(values, 3, "mean", "a hidden state").mean(dim=1)


def _expect(values: torch.Tensor, ndim: int, name: str, what: str) -> torch.Tensor:
    if values.ndim != ndim:
        raise StageError(f"reduce: {name} takes {what}, and this point gives {tuple(values.shape)}")
    return values


REDUCTIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "none": lambda values: values,
    "head-mean": _head_mean,
    "cls": _cls,
    "mean": _mean,
}
