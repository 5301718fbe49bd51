"""Reductions of what was heard: on the teacher before it is encoded, on the student before it meets the signal.

A signal that was reduced is met by an output reduced in the same way, so both sides must use this file.
"""

from collections.abc import Callable

from torch import Tensor

from ..errors import StageError


def _head_mean(values: Tensor) -> Tensor:
    """(B, heads, T, T) -> (B, T, T)."""
    return _expect(values, 4, "head-mean", "an attention (B, heads, T, T)").mean(dim=1)


def _cls(values: Tensor) -> Tensor:
    """(B, T, D) -> (B, D), the first token."""
    return _expect(values, 3, "cls", "a hidden state (B, T, D)")[:, 0]


def _mean(values: Tensor) -> Tensor:
    """(B, T, D) -> (B, D) over tokens; (B, C, H, W) -> (B, C) over the grid."""
    return values.mean(dim=(2, 3)) if values.ndim == 4 else _expect(values, 3, "mean", "a hidden state").mean(dim=1)


def _expect(values: Tensor, ndim: int, name: str, what: str) -> Tensor:
    if values.ndim != ndim:
        raise StageError(f"reduce: {name} takes {what}, and this point gives {tuple(values.shape)}")
    return values


REDUCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "none": lambda values: values,
    "head-mean": _head_mean,
    "cls": _cls,
    "mean": _mean,
}
