"""The actions of a vision-language-action model: its last 256 token ids, one for each bin of a coordinate."""

import torch
from torch import Tensor

from ....errors import StageError
from ..masking import Average
from .divergence import forward_kl


def action_ids(vocabulary: int, bins: int = 256) -> Tensor:
    """(bins,) int64: the id of each bin, `vocabulary - 1 - bin` as in Magma and OpenVLA (arXiv 2502.13130, 2406.09246).

    `vocabulary` is that of the base tokenizer, which may be smaller than the width of the logits.
    """
    if not 0 < bins <= vocabulary:
        raise StageError(f"action ids: {bins} bins do not fit into a vocabulary of {vocabulary}")
    return vocabulary - 1 - torch.arange(bins)


def action_kl(
    output: Tensor,
    target: Tensor,
    *,
    token_ids: int | None = None,
    target_token_ids: int | None = None,
    bins: int = 256,
    temperature: float = 1.0,
    mask: Tensor | None = None,
    average: Average = "row",
) -> Tensor:
    """T^2 KL over the bins per action token, (B,); both sides renormalised among the bins.

    output (B, T, V) and target (B, T, V') logits; `mask` (B, T) is True at action tokens. A side whose vocabulary is
    given is read at its last `bins` ids, in the order of the bins; one without holds the bins themselves, (B, T, bins).
    What text tokens get is not looked at. 0 where both agree on the actions.
    """
    student = _bins(output, token_ids, bins, "output")
    teacher = _bins(target, target_token_ids, bins, "signal")
    return forward_kl(student, teacher, temperature=temperature, mask=mask, average=average)


def _bins(logits: Tensor, vocabulary: int | None, bins: int, side: str) -> Tensor:
    if vocabulary is not None and vocabulary <= logits.shape[-1]:
        return logits.index_select(-1, action_ids(vocabulary, bins).to(logits.device))
    if vocabulary is None and logits.shape[-1] == bins:
        return logits
    asked = f"{bins} bins" if vocabulary is None else f"a vocabulary of {vocabulary}"
    raise StageError(f"action_kl: the {side} has {logits.shape[-1]} logits a token, and {asked} is asked for")
