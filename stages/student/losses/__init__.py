"""Losses by name. Each is a plain function that gives one number per sample, (B,): (output, target, **options) of one
output and one target, or (outputs, targets, **options) of lists, for those that compare several.

The table holds the losses that the settings offer: what each takes, and which fields of a term are its keywords.
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
from .layers.regression import huber, smooth_l1
from .layers.softmax_regression import srrl
from .layers.tinybert import tinybert_prediction
from .relation.bank import crd
from .relation.contrast import info_nce
from .relation.distances import rkd, rkd_angle, rkd_distance
from .relation.moments import nst
from .relation.similarity import pkt, sp
from .relation.tokens import minilm, minilm_qkv
from .response.correlation import dist
from .response.decoupled import dkd, nkd
from .response.levels import multi_level
from .response.standardized import lskd
from .several import across, affinity, ensemble, layer_sum, own_contrast, own_sigmoids, review
from .tokens.actions import action_kl
from .tokens.divergence import jensen, reverse_kl, skewed_kl, skewed_reverse_kl, total_variation
from .tokens.taid import taid
from .tokens.vocabulary import uld

__all__ = ["LOSSES", "Loss", "attention_kl", "attention_mse", "cosine", "cross_entropy", "kl", "mse"]


@dataclass(frozen=True, slots=True)
class Loss:
    """A loss and what it takes.

    `options`: the fields of a term that are its keywords. `labels`: its target is the labels, and there is no signal.
    `beside_labels`: it takes labels as a third argument, so it reads the labelled rows alone. `numbers`: its target may
    be a label field of numbers. `sparse`: it reads logits that are not dense (SparseLogits, SampledTargets,
    HeadLogits). `projected`: a projector may bring the output to the signal's width. `free`: the shapes of output and
    signal may differ, as far as the loss itself allows. `masked`: it takes a mask of tokens, as `target_mask` for the
    signal's own where `apart`; `blanked`: it takes none, and tokens that do not count are 0 on both sides.
    `outputs` and `targets`: how many of each its lists hold, 0 for any number; None: no list, one of each. `alone`: it
    reads no target at all. `kept`: what of the cache, beside signals, it is given once (scale, head, bank).
    """

    function: Callable[..., Tensor]
    options: tuple[str, ...] = ()
    labels: bool = False
    beside_labels: bool = False
    numbers: bool = False
    sparse: bool = False
    projected: bool = False
    free: bool = False
    masked: bool = False
    apart: bool = False
    blanked: bool = False
    outputs: int | None = None
    targets: int | None = None
    kept: str | None = None

    @property
    def alone(self) -> bool:
        """Whether it compares outputs of the student with each other."""
        return self.outputs is not None and self.targets is None


_TOKENS = ("temperature", "average")

LOSSES: dict[str, Loss] = {
    "cross_entropy": Loss(cross_entropy, ("label_smoothing", "average"), labels=True, masked=True),
    "kl": Loss(kl, _TOKENS, sparse=True, masked=True),
    "lskd": Loss(lskd, ("temperature",)),
    "dkd": Loss(dkd, ("temperature", "alpha", "beta"), beside_labels=True),
    "nkd": Loss(nkd, ("temperature", "gamma"), beside_labels=True),
    "dist": Loss(dist, ("temperature", "beta", "gamma")),
    "multi_level": Loss(multi_level),
    "reverse_kl": Loss(reverse_kl, _TOKENS, masked=True),
    "jensen": Loss(jensen, (*_TOKENS, "beta"), masked=True),
    "skewed_kl": Loss(skewed_kl, (*_TOKENS, "alpha"), masked=True),
    "skewed_reverse_kl": Loss(skewed_reverse_kl, (*_TOKENS, "alpha"), masked=True),
    "total_variation": Loss(total_variation, _TOKENS, masked=True),
    "mse": Loss(mse, numbers=True, projected=True, masked=True),
    "cosine": Loss(cosine, projected=True, masked=True),
    "clip_fd": Loss(clip_fd, projected=True),
    "vkd": Loss(vkd, projected=True, masked=True),
    "hcl": Loss(hcl, projected=True),
    "info_nce": Loss(info_nce, ("scale",), projected=True),
    "attention_kl": Loss(attention_kl, masked=True),
    "attention_mse": Loss(attention_mse, masked=True),
    "attention_transfer": Loss(attention_transfer, free=True),
    "nst": Loss(nst, free=True),
    "minilm": Loss(minilm, ("heads",), free=True, masked=True),
    "rkd": Loss(rkd, free=True, blanked=True),
    "rkd_distance": Loss(rkd_distance, free=True, blanked=True),
    "rkd_angle": Loss(rkd_angle, free=True, blanked=True),
    "sp": Loss(sp, free=True, blanked=True),
    "pkt": Loss(pkt, free=True, blanked=True),
    "ensemble_kl": Loss(ensemble, ("temperature", "shares"), outputs=1, targets=0),
    "taid": Loss(taid, ("t", "average"), masked=True),
    "uld": Loss(uld, _TOKENS, free=True, masked=True, apart=True),
    "action_kl": Loss(action_kl, (*_TOKENS, "token_ids", "target_token_ids", "bins"), free=True, masked=True),
    "tinybert_prediction": Loss(tinybert_prediction, ("temperature",), masked=True),
    "smooth_l1": Loss(smooth_l1, ("delta",), numbers=True, projected=True, masked=True),
    "huber": Loss(huber, ("delta",), numbers=True, projected=True, masked=True),
    "minilm_qkv": Loss(minilm_qkv, ("heads",), free=True, masked=True),
    "srrl": Loss(srrl, projected=True, kept="head"),
    "crd": Loss(crd, projected=True, kept="bank"),
    "tinybert_layers": Loss(layer_sum, projected=True, masked=True, outputs=0, targets=0),
    "review": Loss(review, outputs=0, targets=0),
    "clip_contrastive": Loss(own_contrast, ("scale",), outputs=2),
    "siglip": Loss(own_sigmoids, ("scale", "bias"), outputs=2),
    "icl": Loss(across, ("scale",), projected=True, outputs=2, targets=2),
    "clip_affinity": Loss(affinity, ("scale", "target_scale"), free=True, outputs=2, targets=0),
}
