"""Rows of different lengths: only the real tokens are kept, by any codec that keeps vectors or logits of one.

Encoding cuts the axes that count tokens to each row's length (of a causal map the lower triangle is kept) and hands the
inner codec one flat array of elements; decoding puts them back and pads with 0. Array operations alone, on the device.
A value at a dropped place is lost, so whoever encodes checks that it says nothing (see `Packing`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from array_api_compat import array_namespace, device

from ..errors import CacheError, DamagedCacheError
from .codec import Array, Codec, Part
from .logits.head_logits import HeadLogits
from .logits.pieces import encode_in_pieces
from .logits.token_logits import TokenLogits
from .packing import LENGTHS, Packing, causal_pairs, element_places, real_tokens
from .ragged import Ragged

_INNER = ("f32", "f16", "bf16", "int8", "u8affine", "u8sqrt", "pca")  # decode to one array, element by element
SPARSE = ("topk", "pps", "sampling")  # decode to some classes of each element
_LOGITS = (*SPARSE, "head")  # of tokens; there are no such maps
_ABLE = (*_INNER, *_LOGITS)


@dataclass(frozen=True, slots=True)
class Packed:
    """`inner` keeps the elements; `longest` is the most tokens that a row may have."""

    inner: Codec
    packing: Packing
    longest: int

    @property
    def name(self) -> str:
        return self.inner.name

    @property
    def parameters(self) -> Mapping[str, Any]:
        return self.inner.parameters

    def parts(self, shape: tuple[int, ...]) -> tuple[Part, ...]:
        if self.name not in _ABLE:
            raise CacheError(f"codec {self.name} cannot keep rows of different lengths: use one of {', '.join(_ABLE)}")
        if self.name in _LOGITS and len(self.packing.axes) > 1:
            raise CacheError(f"codec {self.name} keeps the logits of tokens, and no maps")
        elements = self.inner.parts(element_shape(self.packing, shape))
        return (Part(LENGTHS, "uint32", ()), *(replace(part, ragged=True) for part in elements))

    def encode(self, values: Array | Ragged | HeadLogits) -> dict[str, Array]:
        """`Ragged` values (n, *shape), padded to any length, or an array whose rows all have its full length; of codec
        head these are the `hidden` of `HeadLogits`.

        Raises CacheError for rows longer than `longest`, and for lengths that the values do not have.
        """
        ragged = as_ragged(_kept_values(values), self.packing.axes[0])
        xp = array_namespace(ragged.values)
        check_lengths(ragged, self.packing, self.longest)
        elements = self._tokens_first(ragged.values)[self._kept(ragged)]
        if isinstance(values, HeadLogits):
            elements = replace(values, hidden=elements)
        return {LENGTHS: xp.astype(ragged.lengths, xp.uint32), **self._encoded(elements)}

    def _encoded(self, elements: Array) -> dict[str, Array]:
        """Logits of a vocabulary are many: their temporaries are bounded."""
        return encode_in_pieces(elements, self.inner.encode) if self.name in SPARSE else self.inner.encode(elements)

    def decode(self, parts: Mapping[str, Array], shape: tuple[int, ...]) -> Ragged | TokenLogits | HeadLogits:
        """Padded to `shape`, and of sparse logits the tokens without padding; `HeadLogits` of what is padded so.

        On the host, lengths that cannot be are DamagedCacheError; a device is not waited for.
        """
        xp = array_namespace(parts[LENGTHS])
        lengths = xp.astype(parts[LENGTHS], xp.int64)
        rest = element_shape(self.packing, shape)
        kept = {name: part for name, part in parts.items() if name != LENGTHS}
        elements: Any = self.inner.decode(kept, rest)
        if self.name in SPARSE:
            check_elements(lengths, elements.ids.shape[0], self.packing, self.longest)
            return TokenLogits(elements, lengths)
        if isinstance(elements, HeadLogits):
            return replace(elements, hidden=self._padded(elements.hidden, lengths, shape))
        return self._padded(elements, lengths, shape)

    def _padded(self, elements: Array, lengths: Array, shape: tuple[int, ...]) -> Ragged:
        xp = array_namespace(lengths)
        check_elements(lengths, elements.shape[0], self.packing, self.longest)
        padded = xp.zeros((lengths.shape[0], *shape), dtype=elements.dtype, device=device(lengths))
        view = self._tokens_first(padded)
        if elements.shape[0]:
            view[element_places(lengths, elements.shape[0], self.packing, self.longest)] = elements
        if self.packing.implied:
            _fill_first_key(view, lengths)
        return Ragged(padded, lengths)

    def error(
        self, values: Array | Ragged | HeadLogits, decoded: Ragged | TokenLogits | HeadLogits
    ) -> dict[str, float]:
        """The inner codec's figures over real tokens; of a map over its real queries, where what is lost at the keys
        that were dropped counts as well."""
        axis = self.packing.axes[0]
        ragged = as_ragged(_kept_values(values), axis)
        if isinstance(decoded, TokenLogits):
            return self.inner.error(self._tokens_first(ragged.values)[self._kept(ragged)], decoded.targets)
        if isinstance(decoded, HeadLogits):
            return self._head_error(ragged, decoded)
        xp = array_namespace(decoded.values)
        width = min(ragged.values.shape[axis + 1], decoded.values.shape[axis + 1])
        real = real_tokens(ragged.lengths, width)
        pair = [xp.moveaxis(each.values, axis + 1, 1)[:, :width][real] for each in (ragged, decoded)]
        if len(self.packing.axes) == 2:  # keys are now axis `axis + 1`, as queries have gone to the front
            pair = [xp.moveaxis(xp.moveaxis(each, axis + 1, 0)[:width], 0, axis + 1) for each in pair]
        return self.inner.error(*pair)

    def _head_error(self, hidden: Ragged, decoded: HeadLogits) -> dict[str, float]:
        """Of the head's input at real tokens: what entered it, and what is kept of that."""
        pair = (self._tokens_first(each.values)[self._kept(each)] for each in (hidden, decoded.hidden))
        return self.inner.error(*(replace(decoded, hidden=each) for each in pair))

    def _tokens_first(self, values: Array) -> Array:
        axes = self.packing.axes
        xp = array_namespace(values)
        return xp.moveaxis(values, tuple(axis + 1 for axis in axes), tuple(range(1, 1 + len(axes))))

    def _kept(self, ragged: Ragged) -> Array:
        """Which tokens, or pairs of tokens, are kept: (n, T) or (n, T, T) bool."""
        longest = ragged.values.shape[self.packing.axes[0] + 1]
        real = real_tokens(ragged.lengths, longest)
        if len(self.packing.axes) == 1:
            return real
        return _kept_pairs(real, self.packing)


def _kept_values(values: Array | Ragged | HeadLogits) -> Array | Ragged:
    """What is kept of each row: of logits of a head what enters it."""
    return values.hidden if isinstance(values, HeadLogits) else values


def element_shape(packing: Packing, shape: tuple[int, ...]) -> tuple[int, ...]:
    """What is left of a row's shape without the axes that count tokens. Raises CacheError where it has no such axes."""
    if packing.axes[-1] >= len(shape) or len({shape[axis] for axis in packing.axes}) != 1:
        what = "square map" if len(packing.axes) == 2 else "axis of tokens"
        raise CacheError(f"a signal of shape {shape} has no {what} at {list(packing.axes)} to pack")
    return tuple(size for axis, size in enumerate(shape) if axis not in packing.axes)


def as_ragged(values: Array | Ragged, axis: int) -> Ragged:
    """An array is a Ragged whose rows all have the full length of `axis` (counted without the rows)."""
    if isinstance(values, Ragged):
        return values
    xp = array_namespace(values)
    tokens = values.shape[axis + 1]
    return Ragged(values, xp.full((values.shape[0],), tokens, dtype=xp.int64, device=device(values)))


def check_lengths(ragged: Ragged, packing: Packing, longest: int) -> None:
    """Raise CacheError for lengths that the values do not have, and for a row of more than `longest` tokens."""
    if ragged.lengths.shape[0] == 0:
        return
    xp = array_namespace(ragged.lengths)
    low, high = int(xp.min(ragged.lengths)), int(xp.max(ragged.lengths))
    tokens = {ragged.values.shape[axis + 1] for axis in packing.axes}
    if low < 0 or high > min(tokens):
        raise CacheError(f"rows of {low} to {high} tokens do not fit values of shape {tuple(ragged.values.shape[1:])}")
    if high > longest:
        raise CacheError(
            f"a row of {high} tokens came, and the first batch said that {longest} are the most: "
            "let the teacher's processor pad to a fixed length, so that the first batch says the true one"
        )


def check_elements(lengths: Array, elements: int, packing: Packing, longest: int) -> None:
    """Raise DamagedCacheError when rows of these lengths cannot have so many elements. Looks at host arrays alone."""
    if str(device(lengths)) != "cpu" or lengths.shape[0] == 0:
        return
    xp = array_namespace(lengths)
    if int(xp.max(lengths)) > longest or int(xp.sum(packing.counts(lengths))) != elements:
        raise DamagedCacheError(
            f"a row of {int(xp.max(lengths))} tokens of at most {longest}, or {elements} elements for "
            f"{int(xp.sum(packing.counts(lengths)))}: the lengths are damaged; run `teachercache cache verify`"
        )


def _kept_pairs(real: Array, packing: Packing) -> Array:
    """Which pairs (query, key) of real tokens (n, T) are kept: (n, T, T) bool."""
    xp = array_namespace(real)
    pairs = real[:, :, None] & real[:, None, :]
    if packing.implied:
        pairs = pairs & (xp.arange(real.shape[1], device=device(real)) > 0)
    return pairs & causal_pairs(real) if packing.causal else pairs


def _fill_first_key(maps: Array, lengths: Array) -> None:
    """Write into maps (n, query, key, ...) the key that is implied: what the others leave of 1, for real queries."""
    xp = array_namespace(maps)
    first = xp.clip(1.0 - xp.sum(maps[:, :, 1:], axis=2), 0.0, 1.0)
    real = real_tokens(lengths, maps.shape[1])
    real = xp.reshape(real, (*real.shape, *(1 for _ in range(first.ndim - 2))))
    maps[:, :, 0] = xp.where(real, first, xp.zeros_like(first))
