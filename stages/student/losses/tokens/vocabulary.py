"""ULD: teacher and student with different vocabularies, compared by their sorted probabilities."""

import torch
from torch import Tensor
from torch.nn import functional

from ....errors import StageError
from ..masking import Average, blank, check_mask, token_mean
from ..precision import at_least_float32


def uld(
    output: Tensor,
    target: Tensor,
    *,
    mask: Tensor | None = None,
    target_mask: Tensor | None = None,
    temperature: float = 1.0,
    average: Average = "row",
) -> Tensor:
    """sum_i |sorted softmax(output / T)_i - sorted softmax(target / T)_i| per token, (B,); in 0 to 2.

    output (B, T, V) and target (B, T', V') logits; the shorter vocabulary is filled with zeros. Masks (B, T) and
    (B, T') mark the tokens of the answer on each side; its n-th token on one side meets the n-th on the other, and what
    the longer answer has more is left out. 0 at student = teacher, and for any other order of the vocabulary too: use
    it beside a loss on the text. Boizard et al. 2024, arXiv 2402.12030, equation 3.
    """
    if output.ndim != 3 or target.ndim != 3 or len(output) != len(target):
        raise StageError(f"uld: needs (B, T, V) and (B, T', V'); they are {tuple(output.shape)}, {tuple(target.shape)}")
    student, kept = _answer(output, mask, "uld")
    teacher, also = _answer(target, target_mask, "uld (target)")
    length = min(student.shape[1], teacher.shape[1])
    q, p = _sorted(student[:, :length] / temperature), _sorted(teacher[:, :length] / temperature)
    wider = max(q.shape[-1], p.shape[-1])
    q, p = (functional.pad(values, (0, wider - values.shape[-1])) for values in (q, p))
    return token_mean((q - p).abs().sum(dim=-1), kept[:, :length] & also[:, :length], average)


def _sorted(logits: Tensor) -> Tensor:
    return logits.softmax(dim=-1).sort(dim=-1, descending=True).values


def _answer(values: Tensor, mask: Tensor | None, name: str) -> tuple[Tensor, Tensor]:
    """The tokens that count moved to the front in their order, and which of the places they fill."""
    check_mask(mask, tuple(values.shape[:2]), name)
    values = at_least_float32(values)
    if mask is None:
        return values, torch.ones(values.shape[:2], dtype=torch.bool, device=values.device)
    order = (~mask).to(torch.int8).argsort(dim=1, stable=True)
    moved = blank(values, mask).gather(1, order.unsqueeze(-1).expand_as(values))
    return moved, mask.gather(1, order)
