"""Losses by name. Each is a plain function (output, target, **options) -> one number per sample, (B,).

The table holds the losses that the settings offer. What needs more than an output, one target and labels (masks, two
modalities, a bank, several teachers) is a function for Python: see `response`, `tokens`, `layers`, `relation`.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from .cross_entropy import cross_entropy
from .kl import kl
from .layers.attention import attention_kl, attention_mse
from .layers.energy import attention_transfer
from .layers.feature import clip_fd, cosine, mse, vkd
from .layers.pyramid import hcl
from .relation.contrast import info_nce
from .relation.distances import rkd, rkd_angle, rkd_distance
from .relation.moments import nst
from .relation.similarity import pkt, sp
from .relation.tokens import minilm
from .response.correlation import dist
from .response.decoupled import dkd, nkd
from .response.levels import multi_level
from .response.standardized import lskd
from .tokens.divergence import jensen, reverse_kl, skewed_kl, skewed_reverse_kl, total_variation

__all__ = ["LOSSES", "Loss", "attention_kl", "attention_mse", "cosine", "cross_entropy", "kl", "mse"]


@dataclass(frozen=True, slots=True)
class Loss:
    """A loss and what it takes.

    `options`: the fields of a term that are its keywords. `labels`: its target is the labels, and there is no signal.
    `beside_labels`: it takes labels as a third argument, so it reads the labelled rows alone. `sparse`: it reads logits
    that are not dense (SparseLogits, SampledTargets, HeadLogits). `projected`: a projector may bring the output to the
    signal's width. `free`: the shapes of output and signal may differ, as far as the loss itself allows.
    """

    function: Callable[..., Tensor]
    options: tuple[str, ...] = ()
    labels: bool = False
    beside_labels: bool = False
    sparse: bool = False
    projected: bool = False
    free: bool = False


LOSSES: dict[str, Loss] = {
    "cross_entropy": Loss(cross_entropy, ("label_smoothing",), labels=True),
    "kl": Loss(kl, ("temperature",), sparse=True),
    "lskd": Loss(lskd, ("temperature",)),
    "dkd": Loss(dkd, ("temperature", "alpha", "beta"), beside_labels=True),
    "nkd": Loss(nkd, ("temperature", "gamma"), beside_labels=True),
    "dist": Loss(dist, ("temperature", "beta", "gamma")),
    "multi_level": Loss(multi_level),
    "reverse_kl": Loss(reverse_kl, ("temperature",)),
    "jensen": Loss(jensen, ("temperature", "beta")),
    "skewed_kl": Loss(skewed_kl, ("temperature", "alpha")),
    "skewed_reverse_kl": Loss(skewed_reverse_kl, ("temperature", "alpha")),
    "total_variation": Loss(total_variation, ("temperature",)),
    "mse": Loss(mse, projected=True),
    "cosine": Loss(cosine, projected=True),
    "clip_fd": Loss(clip_fd, projected=True),
    "vkd": Loss(vkd, projected=True),
    "hcl": Loss(hcl, projected=True),
    "info_nce": Loss(info_nce, ("scale",), projected=True),
    "attention_kl": Loss(attention_kl),
    "attention_mse": Loss(attention_mse),
    "attention_transfer": Loss(attention_transfer, free=True),
    "nst": Loss(nst, free=True),
    "minilm": Loss(minilm, ("heads",), free=True),
    "rkd": Loss(rkd, free=True),
    "rkd_distance": Loss(rkd_distance, free=True),
    "rkd_angle": Loss(rkd_angle, free=True),
    "sp": Loss(sp, free=True),
    "pkt": Loss(pkt, free=True),
}
