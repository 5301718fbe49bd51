"""Logits of each token of rows that differ in length, of which only some classes are kept."""

from dataclasses import dataclass, replace
from typing import Any

from array_api_compat import array_namespace, device

from .sampled import SampledTargets
from .sparse import SparseLogits


@dataclass(frozen=True, slots=True)
class TokenLogits:
    """`targets` hold the real tokens of all rows, one after another: (sum of lengths, k); `lengths` (n,) integers, how
    many of them are each row's. There is no padding. numpy arrays or torch tensors, all of one kind.

    A student's logits (n, T, V) meet them as `logits[mask]`, (sum of lengths, V), the mask being true for real tokens,
    or as they are, with `padded(T)`.
    """

    targets: SparseLogits | SampledTargets
    lengths: Any

    def padded(self, tokens: int) -> SparseLogits | SampledTargets:
        """The targets of each row's first `tokens` tokens, (n, tokens, k). Where a row has fewer, those of another
        token stand, which a loss must leave out by `lengths`. Nothing gets wider than the k classes that are kept."""
        xp = array_namespace(self.lengths)
        lengths = xp.astype(self.lengths, xp.int64)
        first = xp.cumulative_sum(lengths) - lengths
        step = xp.arange(tokens, dtype=xp.int64, device=device(lengths))
        most = self.targets.ids.shape[0] - 1
        return taken(self.targets, xp.clip(first[:, None] + step[None, :], 0, max(most, 0)))


def taken(targets: SparseLogits | SampledTargets, places: Any) -> SparseLogits | SampledTargets:
    """The targets at some places, which may have several axes: (..., k); zeros where there are no targets at all."""
    entropy = None if targets.entropy is None else _taken(targets.entropy, places)
    ids = _taken(targets.ids, places)
    if isinstance(targets, SparseLogits):
        tails = {temperature: _taken(tail, places) for temperature, tail in targets.tails.items()}
        return replace(targets, ids=ids, values=_taken(targets.values, places), tails=tails, entropy=entropy)
    weights = {temperature: _taken(weight, places) for temperature, weight in targets.weights.items()}
    return replace(targets, ids=ids, weights=weights, entropy=entropy)


def _taken(values: Any, places: Any) -> Any:
    if values.shape[0]:
        return values[places]
    xp = array_namespace(values)
    return xp.zeros((*places.shape, *values.shape[1:]), dtype=values.dtype, device=device(values))
