"""How rows of different lengths lie in one flat array: the axes that count tokens are cut to each row's length.

A packed signal has a part `lengths` and its other parts are ragged: their rows follow one another in one long axis of
*elements*. With one token axis an element is a token; with two it is a pair (query, key); a causal map keeps the pairs
with key <= query alone. What is cut off must say nothing: a padded key and, in a causal map, a later key have
probability 0. Where rows of a map sum to 1, the first key of each query need not be kept: it is `implied`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from array_api_compat import array_namespace, device

from .codec import Array

LENGTHS = "lengths"  # the part that holds each row's number of tokens, uint32


@dataclass(frozen=True, slots=True)
class Packing:
    """`axes` of one row that count tokens (one, or two for attention maps), whether a map is causal, and whether each
    query's first key is left out, because it is 1 minus the others."""

    axes: tuple[int, ...]
    causal: bool = False
    implied: bool = False

    def counts(self, lengths: Array) -> Array:
        """Elements of rows with these lengths: (n,) -> (n,) of the same integer type."""
        if len(self.axes) == 1:
            return lengths
        if self.causal:
            return lengths * (lengths - 1) // 2 if self.implied else lengths * (lengths + 1) // 2
        return lengths * (lengths - 1) if self.implied else lengths * lengths

    def to_json(self) -> dict[str, Any]:
        return {"axes": list(self.axes), "causal": self.causal, **({"implied": True} if self.implied else {})}


def read_packing(content: Mapping[str, Any] | None) -> Packing | None:
    """A packing from its JSON. Raises ValueError for one that nothing of ours would have written."""
    if content is None:
        return None
    axes, causal, implied = tuple(content["axes"]), content["causal"], content.get("implied", False)
    if axes not in {(axis,) for axis in range(8)} | {(axis, axis + 1) for axis in range(8)} or (
        not isinstance(causal, bool) or not isinstance(implied, bool) or ((causal or implied) and len(axes) != 2)
    ):
        raise ValueError(f"packing {dict(content)!r} is impossible")
    return Packing(axes, causal, implied)


def real_tokens(lengths: Array, longest: int) -> Array:
    """Which places hold a token: lengths (n,) -> (n, longest) bool."""
    xp = array_namespace(lengths)
    return xp.arange(longest, dtype=xp.int64, device=device(lengths))[None, :] < xp.astype(lengths, xp.int64)[:, None]


def causal_pairs(real: Array) -> Array:
    """Which pairs (query, key) of (n, T) tokens have key <= query: (T, T) bool."""
    xp = array_namespace(real)
    step = xp.arange(real.shape[1], dtype=xp.int64, device=device(real))
    return step[None, :] <= step[:, None]


def element_places(lengths: Array, elements: int, packing: Packing, longest: int) -> tuple[Array, ...]:
    """Row and token, or row, query and key, of each of all the rows' elements: two or three arrays (elements,) int64.

    On a device, where nobody looks at lengths, damaged ones give places inside the table and never outside.
    """
    xp = array_namespace(lengths)
    element = xp.arange(elements, dtype=xp.int64, device=device(lengths))
    ends = xp.cumulative_sum(packing.counts(lengths))
    row = xp.clip(xp.searchsorted(ends, element, side="right"), None, lengths.shape[0] - 1)
    place = element - (ends - packing.counts(lengths))[row]
    if len(packing.axes) == 1:
        return row, xp.clip(place, 0, longest - 1)
    first = int(packing.implied)
    query, key = _triangle(place) if packing.causal else _square(place, lengths[row] - first)
    query, key = query + first if packing.causal else query, key + first
    return row, xp.clip(query, 0, longest - 1), xp.clip(key, 0, longest - 1)


def _square(place: Array, keys: Array) -> tuple[Array, Array]:
    """Place among pairs that lie query by query, `keys` of them each -> (query, key)."""
    xp = array_namespace(place)
    keys = xp.clip(keys, 1, None)
    return place // keys, place % keys


def _triangle(place: Array) -> tuple[Array, Array]:
    """Place q (q + 1) / 2 + k among pairs k <= q -> (q, k). The root is rounded, and put right by one either way."""
    xp = array_namespace(place)
    root = xp.astype(xp.sqrt(xp.astype(place, xp.float32) * 2.0), xp.int64)
    root = xp.where(root * (root + 1) // 2 > place, root - 1, root)
    root = xp.where((root + 1) * (root + 2) // 2 <= place, root + 1, root)
    return root, place - root * (root + 1) // 2
