"""Canonical views as they are: uint8 pixels, exact."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from array_api_compat import array_namespace

from .codec import Array, Part


@dataclass(frozen=True, slots=True)
class Pixels:
    """uint8 (H, W, C), kept without loss."""

    name: str = "u8"

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {}

    def parts(self, shape: tuple[int, ...]) -> tuple[Part, ...]:
        return (Part("values", "uint8", shape),)

    def encode(self, values: Array) -> dict[str, Array]:
        return {"values": values}

    def decode(self, parts: Mapping[str, Array], shape: tuple[int, ...]) -> Array:
        return parts["values"]

    def error(self, values: Array, decoded: Array) -> dict[str, float]:
        xp = array_namespace(decoded)
        return {"max_abs": float(xp.max(xp.abs(xp.astype(values, xp.float32) - xp.astype(decoded, xp.float32))))}
