"""Attention kept as what it is made of: queries and keys, and the softmax when it is read.

Smaller than the map itself once a row has more than about 2 d tokens of u8 (see `attention_bytes`), exact but for the
rounding of queries and keys, and right for grouped heads, whose keys are kept once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from array_api_compat import array_namespace

from ..errors import CacheError
from .codec import Array, Codec, Part
from .dense import Dense
from .int8 import Int8
from .packed import Packed
from .packing import LENGTHS, Packing, causal_pairs, real_tokens
from .query_key import QueryKey
from .ragged import Ragged

_TOKENS = Packing((1,))  # of queries and keys (heads, T, d): an element is a token
_NEVER = -1e30  # the score of what a token cannot see; finite, so that a row of padding gives no NaN


@dataclass(frozen=True, slots=True)
class Factored:
    """`keep`: queries and keys in f16, or in int8 with a float32 scale per vector. `width` is that of one head.

    `width`, `key_heads` and `causal` are what the first batch said; with width 0 only `parameters` can be asked for.
    `longest` is set for rows of different lengths.
    """

    keep: Literal["f16", "int8"] = "f16"
    width: int = 0
    key_heads: int = 0
    causal: bool = False
    longest: int | None = None
    name: str = "factored"

    @property
    def parameters(self) -> Mapping[str, Any]:
        heard = {"width": self.width, "key_heads": self.key_heads, "causal": self.causal} if self.width else {}
        return {"keep": self.keep, **heard}

    def parts(self, shape: tuple[int, ...]) -> tuple[Part, ...]:
        if len(shape) != 3 or shape[1] != shape[2] or not self.width or shape[0] % self.key_heads:
            raise CacheError(
                f"codec factored keeps the attention maps (heads, T, T) of a whole layer, and this signal is {shape} "
                f"with {self.key_heads} key heads of width {self.width}"
            )
        sides = (("query", shape[0]), ("key", self.key_heads))
        found = [(side, part) for side, heads in sides for part in self._codec().parts((heads, shape[1], self.width))]
        lengths = () if self.longest is None else (Part(LENGTHS, "uint32", ()),)
        kept = (Part(_part(side, p.name), p.dtype, p.shape, p.ragged) for side, p in found if p.name != LENGTHS)
        return (*lengths, *kept)

    def encode(self, values: QueryKey) -> dict[str, Array]:
        """Raises CacheError for what is not as the first batch said: heads, width, causality, lengths."""
        self._check(values)
        found: dict[str, Array] = {}
        for side, each in (("query", values.query), ("key", values.key)):
            kept = self._codec().encode(each if values.lengths is None else Ragged(each, values.lengths))
            found |= {_part(side, name): part for name, part in kept.items()}
        return found

    def decode(self, parts: Mapping[str, Array], shape: tuple[int, ...]) -> Array | Ragged:
        """Probabilities (n, heads, T, T) in float32; `Ragged` when rows differ in length."""
        query, lengths = self._side(parts, "query", shape[0], shape[1])
        key, _ = self._side(parts, "key", self.key_heads, shape[1])
        maps = probabilities(QueryKey(query, key, lengths, self.causal))
        return maps if lengths is None else Ragged(maps, lengths)

    def error(self, values: QueryKey, decoded: Array | Ragged) -> dict[str, float]:
        """Against the attention that the unrounded queries and keys give; over the real queries."""
        maps = decoded.values if isinstance(decoded, Ragged) else decoded
        xp = array_namespace(maps)
        exact = probabilities(QueryKey(values.query, values.key, values.lengths, self.causal))
        tokens = exact.shape[-1]
        distance = xp.abs(exact - maps[:, :, :tokens, :tokens])
        l1 = xp.sum(distance, axis=-1)
        if values.lengths is not None:
            l1 = xp.moveaxis(l1, 2, 1)[real_tokens(values.lengths, tokens)]
        return {"max_abs": float(xp.max(distance)), "row_l1": float(xp.max(l1)), "row_l1_mean": float(xp.mean(l1))}

    def _codec(self) -> Codec:
        tokens: Codec = Int8() if self.keep == "int8" else Dense("f16")
        return tokens if self.longest is None else Packed(tokens, _TOKENS, self.longest)

    def _side(self, parts: Mapping[str, Array], side: str, heads: int, tokens: int) -> tuple[Array, Array | None]:
        """Queries or keys (n, heads, T, d) and, where rows differ in length, their lengths."""
        names = ("values", "scale", LENGTHS) if self.longest is not None else ("values", "scale")
        kept = {name: parts[_part(side, name)] for name in names if _part(side, name) in parts}
        decoded = self._codec().decode(kept, (heads, tokens, self.width))
        return (decoded.values, decoded.lengths) if isinstance(decoded, Ragged) else (decoded, None)

    def _check(self, values: QueryKey) -> None:
        if values.causal is not None and values.causal != self.causal:
            raise CacheError(f"this batch's attention is {_kind(values.causal)}, the first was {_kind(self.causal)}")
        if values.key.shape[1] != self.key_heads or values.key.shape[3] != self.width:
            raise CacheError(
                f"keys (heads, tokens, width) are {tuple(values.key.shape[1:])}, and the first batch had "
                f"{self.key_heads} heads of width {self.width}"
            )
        if values.lengths is not None and self.longest is None:
            raise CacheError("rows differ in length, and the first batch had no attention_mask: always give one")


def build_factored(keep: str = "f16", width: int = 0, key_heads: int = 0, causal: bool = False) -> Factored:
    """The codec from its parameters. Raises CacheError for a `keep` that is neither f16 nor int8, and for no heads."""
    if keep not in ("f16", "int8"):
        raise CacheError(f"codec factored keeps queries and keys as f16 or int8, not {keep!r}")
    if not (_count(width) and _count(key_heads) and (width == 0) == (key_heads == 0) and isinstance(causal, bool)):
        raise CacheError(f"codec factored: width {width!r}, key_heads {key_heads!r} or causal {causal!r} is impossible")
    return Factored("f16" if keep == "f16" else "int8", width, key_heads, causal)


def _count(number: Any) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and 0 <= number < 1 << 31


def probabilities(values: QueryKey) -> Array:
    """softmax(query key^T) over the tokens that each one sees: (n, heads, T, T) float32; 0 in the padding."""
    xp = array_namespace(values.query)
    query, key = xp.astype(values.query, xp.float32), xp.astype(values.key, xp.float32)
    n, heads, tokens, width = query.shape
    shared = xp.reshape(query, (n, key.shape[1], heads // key.shape[1] * tokens, width))
    scores = xp.reshape(shared @ xp.moveaxis(key, 2, 3), (n, heads, tokens, tokens))
    real = None if values.lengths is None else real_tokens(values.lengths, tokens)
    if real is not None:
        scores = xp.where(real[:, None, None, :], scores, xp.full_like(scores[:1, :1, :1, :1], _NEVER))
    if values.causal:
        seen = causal_pairs(xp.zeros_like(scores[:, 0, 0, :]))
        scores = xp.where(seen, scores, xp.full_like(scores[:1, :1, :1, :1], _NEVER))
    weights = xp.exp(scores - xp.max(scores, axis=-1, keepdims=True))
    maps = weights / xp.sum(weights, axis=-1, keepdims=True)
    if real is not None:
        pairs = real[:, None, :, None] & real[:, None, None, :]
        maps = xp.where(pairs, maps, xp.zeros_like(maps[:1, :1, :1, :1]))
    return maps


def _part(side: str, name: str) -> str:
    """`query` and `query_scale`; the lengths are those of both."""
    return LENGTHS if name == LENGTHS else side if name == "values" else f"{side}_{name}"


def _kind(causal: bool) -> str:
    return "causal" if causal else "not causal"
