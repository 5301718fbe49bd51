"""One byte a value with a scale and an offset per vector: logits, and features that are not centred at 0."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from array_api_compat import array_namespace

from ..errors import CacheError
from .codec import Array, Part
from .logits.softmax import log_softmax

_TINY = 1e-37  # a vector of equal values keeps a scale that can be divided by
_MOST = {"f32": 1e38, "f16": 65000.0}  # differences of clamped values stay finite


@dataclass(frozen=True, slots=True)
class U8Affine:
    """`round((x - offset) / scale)` in 0..255 over the last axis; the error of a value is at most scale / 2.

    With f32, offset is the smallest value and scale a 255th of the range. With f16 both are rounded outwards before the
    codes are made, so that no value falls off either end. Values are clamped to +-1e38, with f16 to +-65,000.
    """

    scale: Literal["f32", "f16"] = "f32"
    name: str = "u8affine"

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {"scale": self.scale}

    def parts(self, shape: tuple[int, ...]) -> tuple[Part, ...]:
        if not shape:
            raise CacheError("codec u8affine needs a vector per row, and this signal is one number: use f32 or f16")
        dtype = "float32" if self.scale == "f32" else "float16"
        return (
            Part("values", "uint8", shape),
            Part("scale", dtype, shape[:-1]),
            Part("offset", dtype, shape[:-1]),
        )

    def encode(self, values: Array) -> dict[str, Array]:
        xp = array_namespace(values)
        values = xp.clip(xp.astype(values, xp.float32), -_MOST[self.scale], _MOST[self.scale])
        offset = self._kept(xp, xp.min(values, axis=-1, keepdims=True), -1.0)
        top = xp.max(values, axis=-1, keepdims=True)
        scale = self._kept(xp, (top - xp.astype(offset, xp.float32)) / 255.0, 1.0)
        codes = (values - xp.astype(offset, xp.float32)) / xp.clip(xp.astype(scale, xp.float32), _TINY, None)
        codes = xp.astype(xp.clip(codes, 0.0, 255.0) + 0.5, xp.uint8)  # rounds: the cast cuts off
        return {"values": codes, "scale": scale[..., 0], "offset": offset[..., 0]}

    def decode(self, parts: Mapping[str, Array], shape: tuple[int, ...]) -> Array:
        xp = array_namespace(parts["values"])
        scale, offset = (xp.astype(parts[name], xp.float32)[..., None] for name in ("scale", "offset"))
        return xp.astype(parts["values"], xp.float32) * scale + offset

    def error(self, values: Array, decoded: Array) -> dict[str, float]:
        """`kl` is the mean divergence of the softmax over the last axis, which means something for logits."""
        xp = array_namespace(decoded)
        values = xp.astype(values, xp.float32)
        log_p, log_q = log_softmax(values), log_softmax(decoded)
        divergence = xp.sum(xp.exp(log_p) * (log_p - log_q), axis=-1)
        return {"max_abs": float(xp.max(xp.abs(values - decoded))), "kl": max(0.0, float(xp.mean(divergence)))}

    def _kept(self, xp: Any, values: Array, towards: float) -> Array:
        """As it will be read: float32, or float16 that is rounded up (towards = 1) or down (-1), never inwards."""
        if self.scale == "f32":
            return values
        nearest = xp.astype(values, xp.float16)
        outwards = values + towards * (xp.abs(values) * 2.0**-10 + 2.0**-24)
        inside = (values - xp.astype(nearest, xp.float32)) * towards > 0.0
        return xp.where(inside, xp.astype(outwards, xp.float16), nearest)


def build_u8affine(scale: str = "f32") -> U8Affine:
    """The codec from its parameters. Raises CacheError for a scale that is neither f32 nor f16."""
    if scale not in ("f32", "f16"):
        raise CacheError(f"codec u8affine keeps its scale as f32 or f16, not {scale!r}")
    return U8Affine("f32" if scale == "f32" else "f16")
