"""The soft-target loss on a sample of the classes: unbiased, because cross-entropy is linear in the target.

Reverse or skewed divergences and squared errors of logits are not linear and would be biased, so they are not here.
"""

from typing import cast

import torch
from torch import Tensor

from ....cache import SampledTargets
from ...errors import StageError
from .precision import at_least_float32


def sampled_kl(output: Tensor, target: SampledTargets, temperature: float) -> Tensor:
    """T^2 * (-sum(t log q) - H) per sample, (B,); output (B, C) logits, q = softmax(output / T).

    t are the sampled weights, whose expectation is p = softmax(teacher / T), so the expectation of value and gradient
    is that of T^2 * KL(p || q). H is the stored entropy of p at T = 1; at another temperature it is not stored and left
    out, and the value is the cross-entropy: larger by a constant of the data, with the same gradient. One row's value
    may be below 0. Only the sampled classes are gathered. Raises StageError for a temperature without weights.
    """
    if target.classes != output.shape[-1]:
        raise StageError(f"kl: the student has {output.shape[-1]} classes, the signal has {target.classes}")
    student = at_least_float32(output) / temperature
    weights, ids = _weights(target, temperature), cast(Tensor, target.ids)
    log_q = student.gather(-1, ids) - student.logsumexp(dim=-1, keepdim=True)
    entropy = at_least_float32(cast(Tensor, target.entropy)) if temperature == 1 else 0.0
    said = weights != 0  # an entry that says nothing may be of a class that the student excludes
    return temperature**2 * (-torch.where(said, weights * log_q.where(said, 0.0), 0.0).sum(dim=-1) - entropy)


def _weights(target: SampledTargets, temperature: float) -> Tensor:
    """The sampled weights at this temperature, (B, k)."""
    if temperature not in target.weights:
        stored = ", ".join(f"{t:g}" for t in target.weights)
        raise StageError(
            f"kl: the cache has sampled weights at temperature {stored} and none at {temperature:g}; "
            "use one that it has, or build the cache with another `temperatures` or `sample_temperature`"
        )
    return at_least_float32(cast(Tensor, target.weights[temperature]))
