"""Losses that read several outputs or several signals of one term, as lists: (outputs, targets, **options) -> (B,)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ...errors import StageError
from .layers.pyramid import hcl
from .layers.tinybert import tinybert_layers
from .relation.affinity import several_affinity
from .relation.contrast import clip_contrastive, icl, siglip
from .response.ensemble import ensemble_kl

Tensors = Sequence[Tensor]
_OPENAI_SCALE = 1 / 0.07  # where CLIP's scale starts


def ensemble(
    outputs: Tensors, targets: Tensors, *, temperature: float = 1.0, shares: Sequence[float] | None = None
) -> Tensor:
    """`ensemble_kl` of one output and several teachers; `shares` (K,) is the say of each."""
    if shares is not None and (len(shares) != len(targets) or min(shares) < 0 or sum(shares) <= 0):
        raise StageError(f"ensemble_kl: shares {list(shares)} are no say of each of {len(targets)} signals")
    weights = None if shares is None else torch.tensor(shares, dtype=torch.float32, device=outputs[0].device)
    return ensemble_kl(outputs[0], targets, weights=weights, temperature=temperature)


def own_contrast(outputs: Tensors, targets: Tensors, *, scale: float | Tensor = _OPENAI_SCALE) -> Tensor:
    """`clip_contrastive` of the student's image and text; there are no targets."""
    return clip_contrastive(outputs[0], outputs[1], scale=scale)


def own_sigmoids(
    outputs: Tensors, targets: Tensors, *, scale: float | Tensor = 10.0, bias: float | Tensor = -10.0
) -> Tensor:
    """`siglip` of the student's image and text; there are no targets."""
    return siglip(outputs[0], outputs[1], scale=scale, bias=bias)


def across(outputs: Tensors, targets: Tensors, *, scale: float | Tensor = _OPENAI_SCALE) -> Tensor:
    """`icl` of the student's image and text and the teacher's, in this order."""
    return icl(outputs[0], outputs[1], targets[0], targets[1], scale=scale)


def affinity(
    outputs: Tensors, targets: Tensors, *, scale: float | Tensor = _OPENAI_SCALE, target_scale: float = 100.0
) -> Tensor:
    """`clip_affinity` of the student's image and text and those of one teacher or several: image, text, image, text."""
    if len(targets) % 2:
        raise StageError(f"clip_affinity: {len(targets)} signals; each teacher has an image and a text")
    teachers = [(targets[i], targets[i + 1], target_scale) for i in range(0, len(targets), 2)]
    return several_affinity(outputs[0], outputs[1], teachers, scale=scale)


def layer_sum(outputs: Tensors, targets: Tensors, *, mask: Tensor | None = None) -> Tensor:
    """`tinybert_layers` of hidden states, pair by pair. Caches keep attention after its softmax: see attention_mse."""
    return tinybert_layers(list(zip(outputs, targets, strict=True)), mask=mask)


def review(outputs: Tensors, targets: Tensors) -> Tensor:
    """Sum of `hcl` over stages of fused maps, (B,). Chen et al. 2021, arXiv 2104.09044."""
    parts = [hcl(output, target) for output, target in zip(outputs, targets, strict=True)]
    return sum(parts[1:], start=parts[0])
