"""Codecs: one a file, found here by the word that the YAML and the manifest use."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ..errors import CacheError
from .affine import build_u8affine
from .bf16 import BFloat16
from .codec import Array, Codec, Decoded, Part
from .dense import Dense
from .factored import Factored, build_factored
from .int8 import Int8
from .logits.build import build_head, build_pps, build_sampling, build_topk
from .logits.head_logits import HeadLogits
from .logits.sampled import SampledTargets
from .logits.sparse import SparseLogits
from .logits.token_logits import TokenLogits
from .packed import SPARSE, Packed, element_shape
from .packing import LENGTHS, Packing, read_packing
from .pca import build_pca
from .pixels import Pixels
from .query_key import QueryKey
from .ragged import Ragged
from .spectrum import Spectrum, fit_pca
from .u8sqrt import U8Sqrt

__all__ = [
    "CODECS",
    "LENGTHS",
    "SPARSE",
    "Array",
    "Codec",
    "Decoded",
    "HeadLogits",
    "Packing",
    "Part",
    "QueryKey",
    "Ragged",
    "SampledTargets",
    "SparseLogits",
    "Spectrum",
    "TokenLogits",
    "build_codec",
    "fit_pca",
    "pack_codec",
    "read_packing",
]


CODECS: dict[str, Callable[..., Codec]] = {
    "f32": lambda: Dense("f32"),
    "f16": lambda: Dense("f16"),
    "bf16": BFloat16,
    "int8": Int8,
    "u8affine": build_u8affine,
    "u8": Pixels,
    "u8sqrt": U8Sqrt,
    "factored": build_factored,
    "pca": build_pca,
    "topk": build_topk,
    "pps": build_pps,
    "sampling": build_sampling,
    "head": build_head,
}


def build_codec(name: str, parameters: Mapping[str, Any]) -> Codec:
    """The codec of this name. Raises CacheError for an unknown name or parameters it does not take."""
    if name not in CODECS:
        raise CacheError(f"unknown codec {name!r}: this version knows {', '.join(sorted(CODECS))}")
    try:
        return CODECS[name](**parameters)
    except TypeError as error:
        raise CacheError(f"codec {name} cannot take {dict(parameters)}: {error}") from error


def pack_codec(codec: Codec, packing: Packing, shape: tuple[int, ...]) -> Codec:
    """The codec that keeps rows of different lengths with `codec`; `shape` is that of the longest row.

    Raises CacheError when a row of this shape has no such axes.
    """
    element_shape(packing, shape)
    if isinstance(codec, Factored):
        return replace(codec, longest=shape[packing.axes[0]])
    return Packed(codec, packing, shape[packing.axes[0]])
