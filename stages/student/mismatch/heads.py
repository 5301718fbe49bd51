"""Attention with other numbers of heads: averaged on both sides, or refused. Never broadcast."""

from typing import Literal

from torch import Tensor

from ...capture.reduction import REDUCTIONS
from ...errors import StageError

HeadMeeting = Literal["equal", "head-mean"]


def met_heads(output: Tensor, target: Tensor, how: HeadMeeting = "equal") -> tuple[Tensor, Tensor]:
    """Both attentions in one form: as they are (`equal`), or their mean over heads (`head-mean`).

    output (B, H, T, T), target (B, H', T, T) or already (B, T, T). StageError where heads differ and no mean is asked
    for, and where tokens differ: attention is not interpolated. To keep heads apart use relations (`minilm`).
    """
    if output.ndim != 4 or target.ndim not in (3, 4):
        raise StageError(f"heads: attention is (B, heads, T, T); it is {tuple(output.shape)} and {tuple(target.shape)}")
    if output.shape[-2:] != target.shape[-2:]:
        raise StageError(
            f"heads: the student has {output.shape[-1]} tokens and the signal {target.shape[-1]}; attention over other "
            "tokens has no meaning, use relations of pooled features"
        )
    if how == "head-mean":
        return head_mean(output), head_mean(target)
    if output.shape != target.shape:
        raise StageError(
            f"heads: the student has {output.shape[1]} and the signal is {tuple(target.shape[1:])}; ask for head-mean, "
            "or learn relations (minilm), which need no equal heads"
        )
    return output, target


def head_mean(attention: Tensor) -> Tensor:
    """(B, T, T) of (B, heads, T, T); one that has no heads any more stays."""
    return attention if attention.ndim == 3 else REDUCTIONS["head-mean"](attention)
