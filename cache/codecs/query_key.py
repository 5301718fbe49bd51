"""What attention probabilities are made of: the queries and keys of one layer, as a teacher says them."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class QueryKey:
    """`softmax(query key^T)` is the attention of a layer: `query` (n, heads, T, d), already scaled, and `key`
    (n, key heads, T, d), each key head shared by heads / key heads queries; numpy arrays or torch tensors.

    `lengths` (n,) are the real tokens of each row, which come first; None when all are. `causal`: whether a token sees
    itself and earlier ones alone; None when no row is long enough to tell.
    """

    query: Any
    key: Any
    lengths: Any = None
    causal: bool | None = False
