"""The input of the teacher's last linear layer, whose weight and bias the cache keeps once: exact at every temperature,
and far smaller than the logits of a vocabulary."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any, Literal

import numpy as np
from array_api_compat import array_namespace, device

from ...errors import CacheError, DamagedCacheError
from ..codec import Array, Codec, Part
from .head_logits import HeadLogits

_MOST = 1 << 24  # logits that are held against each other at once


@dataclass(frozen=True, slots=True)
class Head:
    """Logits of shape (.., classes) as the head's input (.., d), kept by `kept` (f16 or int8, as `keep` says).

    `weight` (classes, d) and `bias` (classes,) are needed for reading alone. They are copied to a device once.
    """

    keep: Literal["f16", "int8"]
    kept: Codec
    classes: int | None = None
    weight: Array | None = None
    bias: Array | None = None
    name: str = "head"
    _there: dict[Any, tuple[Array, Array]] = field(default_factory=dict, repr=False, compare=False)

    @property
    def parameters(self) -> Mapping[str, Any]:
        known = {} if self.classes is None else {"classes": self.classes}
        return {"keep": self.keep, **known}

    def parts(self, shape: tuple[int, ...]) -> tuple[Part, ...]:
        if not shape:
            raise CacheError("codec head keeps the vector that enters the head, and this signal is one number")
        return self.kept.parts(shape)

    def encode(self, values: HeadLogits) -> dict[str, Array]:
        """What enters the head, (n, .., d) of `values.hidden` -> the parts; the head is not looked at."""
        return self.kept.encode(values.hidden)

    def decode(self, parts: Mapping[str, Array], shape: tuple[int, ...]) -> HeadLogits:
        hidden = self.kept.decode(parts, shape)
        return HeadLogits(hidden, *self._head(hidden))

    def error(self, values: HeadLogits, decoded: HeadLogits) -> dict[str, float]:
        """`max_abs` of the logits, and `hidden_max_abs` of the vector that is kept. Some rows at a time: the logits of
        the tokens of a vocabulary are many."""
        xp = array_namespace(decoded.hidden)
        hidden = xp.astype(values.hidden, xp.float32)
        size = max(1, _MOST // max(1, decoded.classes * prod(hidden.shape[1:-1])))
        largest = 0.0
        for start in range(0, hidden.shape[0], size):
            rows = slice(start, start + size)
            exact, kept = replace(decoded, hidden=hidden[rows]), replace(decoded, hidden=decoded.hidden[rows])
            largest = max(largest, float(xp.max(xp.abs(exact.logits() - kept.logits()))))
        return {"max_abs": largest, "hidden_max_abs": float(xp.max(xp.abs(hidden - decoded.hidden)))}

    def _head(self, hidden: Array) -> tuple[Array, Array]:
        """Weight and bias beside `hidden`."""
        if self.weight is None or self.bias is None:
            raise CacheError("codec head reads logits with the head that the cache keeps: use cache.codec(signal)")
        if self.weight.shape[1] != hidden.shape[-1]:
            raise DamagedCacheError(
                f"codec head keeps vectors of {hidden.shape[-1]} numbers, and its head takes {self.weight.shape[1]}"
            )
        xp, where = array_namespace(hidden), device(hidden)
        if (xp.__name__, where) not in self._there:
            self._there[xp.__name__, where] = (_put(xp, self.weight, where), _put(xp, self.bias, where))
        return self._there[xp.__name__, where]


def _put(xp: Any, array: Array, where: Any) -> Array:
    if isinstance(array, np.ndarray):
        array = array.astype(np.float32)  # a copy: the constant of the cache is read-only
    return xp.astype(xp.asarray(array, device=where), xp.float32)
