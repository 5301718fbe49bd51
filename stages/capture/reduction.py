"""Reductions of what was heard: on the teacher before it is encoded, on the student before it meets the signal.

A signal that was reduced is met by an output reduced in the same way, so both sides must use this file.
"""

from collections.abc import Callable

from torch import Tensor

from ...cache.codecs import Ragged
from ..errors import StageError
from .ragged import last_token, real_mean


def _head_mean(values: Tensor) -> Tensor:
    """(B, heads, T, T) -> (B, T, T)."""
    return _expect(values, 4, "head-mean", "an attention (B, heads, T, T)").mean(dim=1)


def _cls_row(values: Tensor) -> Tensor:
    """(B, heads, T, T) -> (B, heads, T): what the first token looks at."""
    values = _expect(values, 4, "cls-row", "an attention (B, heads, T, T)")
    if values.shape[2] != values.shape[3]:
        raise StageError(f"reduce: cls-row takes square maps, and this point gives {tuple(values.shape)}")
    return values[:, :, 0]


def _cls(values: Tensor) -> Tensor:
    """(B, T, D) -> (B, D), the first token."""
    return _expect(values, 3, "cls", "a hidden state (B, T, D)")[:, 0]


def _mean(values: Tensor) -> Tensor:
    """(B, T, D) -> (B, D) over tokens; (B, C, H, W) -> (B, C) over the grid."""
    return values.mean(dim=(2, 3)) if values.ndim == 4 else _expect(values, 3, "mean", "a hidden state").mean(dim=1)


def _last(values: Tensor) -> Tensor:
    """(B, T, D) -> (B, D), the last token."""
    return _expect(values, 3, "last", "a hidden state (B, T, D)")[:, -1]


def _expect(values: Tensor, ndim: int, name: str, what: str) -> Tensor:
    if values.ndim != ndim:
        raise StageError(f"reduce: {name} takes {what}, and this point gives {tuple(values.shape)}")
    return values


REDUCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "none": lambda values: values,
    "head-mean": _head_mean,
    "cls-row": _cls_row,
    "cls": _cls,
    "mean": _mean,
    "last": _last,
}


def reduce_heard(name: str, values: Tensor | Ragged) -> Tensor | Ragged:
    """A reduction of rows that may differ in length: padding counts nowhere, and what has no tokens left is a tensor.

    Raises StageError for values that the reduction does not take.
    """
    if not isinstance(values, Ragged):
        return REDUCTIONS[name](values)
    match name:
        case "mean" | "last":
            _expect(values.values, 3, name, "a hidden state (B, T, D)")
            return real_mean(values) if name == "mean" else last_token(values)
        case "cls":
            return REDUCTIONS[name](values.values)
        case _:
            return Ragged(REDUCTIONS[name](values.values), values.lengths)


def token_axes(kind: str, reduce: str) -> tuple[int, ...]:
    """Which axes of one row count tokens, at a point of this kind after this reduction; empty for none."""
    axes = {
        ("attention", "none"): (1, 2),
        ("attention", "head-mean"): (0, 1),
        ("attention", "cls-row"): (1,),
        ("hidden", "none"): (0,),
        ("logits", "none"): (0,),
        ("module", "none"): (0,),
        ("qkv", "none"): (2,),
    }
    return axes.get((kind, reduce), ())
