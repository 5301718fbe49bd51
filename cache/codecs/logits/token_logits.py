"""Logits of each token of rows that differ in length, of which only some classes are kept."""

from dataclasses import dataclass
from typing import Any

from .sampled import SampledTargets
from .sparse import SparseLogits


@dataclass(frozen=True, slots=True)
class TokenLogits:
    """`targets` hold the real tokens of all rows, one after another: (sum of lengths, k); `lengths` (n,) integers, how
    many of them are each row's. There is no padding. numpy arrays or torch tensors, all of one kind.

    A student's logits (n, T, V) meet them as `logits[mask]`, (sum of lengths, V), the mask being true for real tokens.
    """

    targets: SparseLogits | SampledTargets
    lengths: Any
