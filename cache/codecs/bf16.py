"""Every value in two bytes with the range of a float32: the upper half of its bits.

numpy and Zarr have no bfloat16, so the bits are kept as uint16: a plain Zarr client sees numbers that must be shifted
(`bits << 16`, read as float32). Three significant digits: right for values beyond f16's range, else f16 is nearer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from array_api_compat import array_namespace

from .codec import Array, Part

_MOST = 3.3895313892515355e38  # the largest finite bfloat16; rounding anything larger would give infinity


@dataclass(frozen=True, slots=True)
class BFloat16:
    """Rounded to the nearest, halves to even; the relative error is at most 2^-8 (absolute 2^-134 below 2^-126)."""

    name: str = "bf16"

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {}

    def parts(self, shape: tuple[int, ...]) -> tuple[Part, ...]:
        return (Part("values", "uint16", shape),)

    def encode(self, values: Array) -> dict[str, Array]:
        xp = array_namespace(values)
        bits = xp.clip(xp.astype(values, xp.float32), -_MOST, _MOST).view(xp.int32)
        rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
        return {"values": xp.astype(rounded, xp.int16).view(xp.uint16)}

    def decode(self, parts: Mapping[str, Array], shape: tuple[int, ...]) -> Array:
        xp = array_namespace(parts["values"])
        return (xp.astype(parts["values"].view(xp.int16), xp.int32) << 16).view(xp.float32)

    def error(self, values: Array, decoded: Array) -> dict[str, float]:
        xp = array_namespace(decoded)
        return {"max_abs": float(xp.max(xp.abs(xp.astype(values, xp.float32) - decoded)))}
