"""One signed byte a value with one float32 scale per vector: embeddings and hidden states."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from array_api_compat import array_namespace

from ..errors import CacheError
from .codec import Array, Part

_TINY = 1e-37  # an all-zero vector keeps a scale that can be divided by


@dataclass(frozen=True, slots=True)
class Int8:
    """`round(x / s)` with `s = max|x| / 127` over the last axis; the error of a value is at most s / 2."""

    name: str = "int8"

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {}

    def parts(self, shape: tuple[int, ...]) -> tuple[Part, ...]:
        if not shape:
            raise CacheError("codec int8 needs a vector per row, and this signal is one number: use f32 or f16")
        return (Part("values", "int8", shape), Part("scale", "float32", shape[:-1]))

    def encode(self, values: Array) -> dict[str, Array]:
        xp = array_namespace(values)
        values = xp.astype(values, xp.float32)
        scale = xp.max(xp.abs(values), axis=-1, keepdims=True) / 127.0
        codes = xp.round(values / xp.clip(scale, _TINY, None))
        return {"values": xp.astype(codes, xp.int8), "scale": scale[..., 0]}

    def decode(self, parts: Mapping[str, Array], shape: tuple[int, ...]) -> Array:
        xp = array_namespace(parts["values"])
        return xp.astype(parts["values"], xp.float32) * parts["scale"][..., None]

    def error(self, values: Array, decoded: Array) -> dict[str, float]:
        xp = array_namespace(decoded)
        values = xp.astype(values, xp.float32)
        dot = xp.sum(values * decoded, axis=-1)
        norms = xp.sqrt(xp.sum(values * values, axis=-1)) * xp.sqrt(xp.sum(decoded * decoded, axis=-1))
        cosine = 1.0 - (dot + _TINY) / (norms + _TINY)
        return {
            "max_abs": float(xp.max(xp.abs(values - decoded))),
            "cosine": float(xp.max(cosine)),
            "cosine_mean": float(xp.mean(cosine)),
        }
