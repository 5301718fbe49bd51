"""Every value kept as a float: f32 exactly, f16 clamped to its finite range."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from array_api_compat import array_namespace

from .codec import Array, Part

_F16_MAX = 65504.0  # a larger logit would become inf


@dataclass(frozen=True, slots=True)
class Dense:
    """f32 or f16 values. f16 clamps to +-65504; its relative error is at most 2^-11 above 6.1e-5."""

    name: Literal["f32", "f16"]

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {}

    def parts(self, shape: tuple[int, ...]) -> tuple[Part, ...]:
        return (Part("values", "float32" if self.name == "f32" else "float16", shape),)

    def encode(self, values: Array) -> dict[str, Array]:
        xp = array_namespace(values)
        values = xp.astype(values, xp.float32)
        if self.name == "f16":
            values = xp.astype(xp.clip(values, -_F16_MAX, _F16_MAX), xp.float16)
        return {"values": values}

    def decode(self, parts: Mapping[str, Array], shape: tuple[int, ...]) -> Array:
        xp = array_namespace(parts["values"])
        return xp.astype(parts["values"], xp.float32)

    def error(self, values: Array, decoded: Array) -> dict[str, float]:
        xp = array_namespace(decoded)
        return {"max_abs": float(xp.max(xp.abs(xp.astype(values, xp.float32) - decoded)))}
