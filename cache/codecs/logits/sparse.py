"""Logits of which only the largest entries are kept. Losses read this form as it is; nothing is densified."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class SparseLogits:
    """The k largest logits of each row and the exact mass of the rest.

    `ids` (n, k) int64, largest first; `values` (n, k) float32, the logit minus the row's largest logit (so the first is
    0); `tails[T]` (n,) float32, `log(sum(exp((z_j - max z) / T)))` over the classes that are not kept, -inf when all
    are kept. numpy arrays or torch tensors, all of one kind. `classes` is the width of the dense row;
    `entropy` (n,) float32, of softmax(z) in nats, or None where the cache does not tell.

    The log-probability of a kept class at a temperature T of `tails` is
    `values / T - logaddexp(logsumexp(values / T), tails[T])`.
    """

    ids: Any
    values: Any
    tails: Mapping[float, Any]
    classes: int
    entropy: Any = None
