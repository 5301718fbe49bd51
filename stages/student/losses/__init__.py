"""Losses by name. Each is a plain function (output, target, **options) -> one number per sample, (B,).

The table holds the losses that the settings offer. What needs more than an output and one target (masks, two
modalities, a bank, several teachers) is a function for Python: see `response`, `tokens`, `layers`, `relation`.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from .cross_entropy import cross_entropy
from .kl import kl
from .layers.attention import attention_kl, attention_mse
from .layers.feature import cosine, mse

__all__ = ["LOSSES", "Loss", "attention_kl", "attention_mse", "cosine", "cross_entropy", "kl", "mse"]


@dataclass(frozen=True, slots=True)
class Loss:
    """A loss, the fields of a term that it takes, whether its target is the labels, whether it reads
    logits that are not dense: SparseLogits, SampledTargets, HeadLogits."""

    function: Callable[..., Tensor]
    options: tuple[str, ...] = ()
    labels: bool = False
    sparse: bool = False


LOSSES: dict[str, Loss] = {
    "cross_entropy": Loss(cross_entropy, ("label_smoothing",), labels=True),
    "kl": Loss(kl, ("temperature",), sparse=True),
    "mse": Loss(mse),
    "cosine": Loss(cosine),
    "attention_kl": Loss(attention_kl),
    "attention_mse": Loss(attention_mse),
}
