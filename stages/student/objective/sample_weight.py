"""How much each row of a batch counts in a term, from what teachers said of it.

The weights of the rows of a batch that the term reads have mean 1, so that they change which rows are heard and not how
loud the term is, whatever the batch. Where all are 0 they are 1.
"""

from collections.abc import Sequence
from math import log
from typing import cast

import torch
from torch import Tensor

from ....cache import SampledTargets, SparseLogits
from ...errors import StageError
from ..losses.precision import at_least_float32
from ..losses.relative_entropy import relative_entropy
from ..losses.response.ensemble import mean_of_softmaxes
from ..stream.batch import Target
from .spec import SampleWeightSpec


def sample_weights(spec: SampleWeightSpec, targets: Sequence[Target], rows: int) -> Tensor:
    """(rows,) at least 0, mean 1; `targets` are logits (B, C) of one teacher or several, of which [0:rows] count.

    entropy: 1 - H(p) / log C. margin: the largest probability less the second. agreement: 1 less the Jensen-Shannon
    divergence of the teachers over its most, log K. `favour: unsure` takes 1 less that. Of several teachers the mean
    of entropies or margins. StageError for logits that do not say it.
    """
    with torch.no_grad():
        sure = sureness(spec, targets)[:rows]
        weights = sure if spec.favour == "sure" else 1 - sure
        return normalised(weights.clamp(0, 1))


def normalised(weights: Tensor, whole: Tensor | None = None) -> Tensor:
    """`weights` (n,) over their mean, or over that of the `whole` that they are a part of; ones where all are 0."""
    whole = weights if whole is None else whole
    mean = whole.mean() if len(whole) else whole.new_tensor(0.0)
    return torch.where(mean > 0, weights / mean.where(mean > 0, 1.0), torch.ones_like(weights))


def sureness(spec: SampleWeightSpec, targets: Sequence[Target]) -> Tensor:
    """(B,) of 0 to 1, by the measure alone: `favour` is not looked at."""
    if spec.by == "agreement":
        return _agreement(targets, spec.temperature)
    measure = _certainty if spec.by == "entropy" else _margin
    parts = [measure(target, spec.temperature) for target in targets]
    return torch.stack(parts).mean(dim=0)


def _certainty(target: Target, temperature: float) -> Tensor:
    if isinstance(target, SparseLogits | SampledTargets):
        if target.entropy is None or temperature != 1:
            raise StageError("sample_weight: sparse logits say their entropy at temperature 1 alone, where it is kept")
        entropy = at_least_float32(cast(Tensor, target.entropy))
    else:
        logs = _logs(target, temperature)
        entropy = -torch.where(logs > -torch.inf, logs.exp() * logs, 0.0).sum(dim=-1)
    return 1 - entropy / log(max(2, _classes(target)))


def _margin(target: Target, temperature: float) -> Tensor:
    if isinstance(target, SampledTargets):
        raise StageError("sample_weight: sampled logits do not say the second class; use entropy")
    if isinstance(target, SparseLogits):
        if temperature not in target.tails or target.values.shape[-1] < 2:
            raise StageError(f"sample_weight: the cache has no exact tail, or one class alone, at {temperature:g}")
        kept = at_least_float32(cast(Tensor, target.values)) / temperature
        whole = torch.cat([kept, at_least_float32(target.tails[temperature]).unsqueeze(-1)], dim=-1)
        first = whole.log_softmax(dim=-1)[:, :2].exp()
    else:
        first = _logs(target, temperature).exp().topk(2, dim=-1).values
    return first[:, 0] - first[:, 1]


def _agreement(targets: Sequence[Target], temperature: float) -> Tensor:
    if len(targets) < 2 or not all(isinstance(target, Tensor) for target in targets):
        raise StageError("sample_weight: agreement is between the dense logits of two teachers or more; name them")
    logits = [cast(Tensor, target) for target in targets]
    middle = mean_of_softmaxes(logits, temperature=temperature)
    apart = [relative_entropy(_logs(target, temperature), middle) for target in logits]
    return 1 - torch.stack(apart).mean(dim=0) / log(len(targets))


def _logs(target: Target, temperature: float) -> Tensor:
    if not isinstance(target, Tensor) or target.ndim != 2:
        raise StageError("sample_weight: needs one row of logits for each sample")
    return (at_least_float32(target) / temperature).log_softmax(dim=-1)


def _classes(target: Target) -> int:
    return target.classes if isinstance(target, SparseLogits | SampledTargets) else cast(Tensor, target).shape[-1]
