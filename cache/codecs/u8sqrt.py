"""Attention probabilities in one byte each, linear in their square root: small probabilities keep their ratios."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from array_api_compat import array_namespace

from .codec import Array, Part


@dataclass(frozen=True, slots=True)
class U8Sqrt:
    """`round(255 sqrt(p))` for p in [0, 1]; the error of p is at most `(2 sqrt(p) + 1/510) / 510`."""

    name: str = "u8sqrt"

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {}

    def parts(self, shape: tuple[int, ...]) -> tuple[Part, ...]:
        return (Part("values", "uint8", shape),)

    def encode(self, values: Array) -> dict[str, Array]:
        xp = array_namespace(values)
        root = xp.sqrt(xp.clip(xp.astype(values, xp.float32), 0.0, 1.0))
        return {"values": xp.astype(root * 255.0 + 0.5, xp.uint8)}  # rounds: the cast cuts off

    def decode(self, parts: Mapping[str, Array], shape: tuple[int, ...]) -> Array:
        xp = array_namespace(parts["values"])
        root = xp.astype(parts["values"], xp.float32) / 255.0
        return root * root

    def error(self, values: Array, decoded: Array) -> dict[str, float]:
        xp = array_namespace(decoded)
        distance = xp.abs(xp.astype(values, xp.float32) - decoded)
        l1 = xp.sum(distance, axis=-1)
        return {"max_abs": float(xp.max(distance)), "row_l1": float(xp.max(l1)), "row_l1_mean": float(xp.mean(l1))}
