"""What a signal is on disk: codec, shape, parts, and the codec's measured error."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from ..codecs import Codec, Packing, Part, build_codec, pack_codec, read_packing
from ..errors import CacheError
from .zarr_metadata import COMPRESSIONS

_NAME = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_MOST_ROW_BYTES = 1 << 32  # a hostile manifest must not make a reader allocate what it claims


def check_name(name: str, what: str) -> str:
    """`name` when it is safe as a folder name on every system. Raises CacheError otherwise."""
    if not isinstance(name, str) or not _NAME.fullmatch(name) or len(name) > 200:
        raise CacheError(f"{what} {name!r} must be letters, digits, - and _, joined by single dots")
    return name


@dataclass(frozen=True, slots=True)
class SignalSchema:
    """One signal of a cache. `shape` is that of one row, of the longest when `packing` says that rows differ in length;
    `compression` is how the blocks of its arrays are kept on disk (none or zstd); `constants` maps an argument of the
    codec to the constant of the manifest that it is; `error` is what the codec was measured to lose."""

    name: str
    codec: str
    parameters: Mapping[str, Any]
    shape: tuple[int, ...]
    point: str = ""
    reduce: str = "none"
    error: Mapping[str, float] = field(default_factory=dict)
    packing: Packing | None = None
    compression: str = "none"
    constants: Mapping[str, str] = field(default_factory=dict)

    def build(self, constants: Mapping[str, Any] | None = None) -> Codec:
        """The codec that reads and writes this signal; `constants` of the cache by name, where it needs any."""
        given = {argument: (constants or {}).get(name) for argument, name in self.constants.items()}
        codec = build_codec(self.codec, {**self.parameters, **given})
        return codec if self.packing is None else pack_codec(codec, self.packing, self.shape)

    @property
    def target_shape(self) -> tuple[int, ...]:
        """Shape of one row as a loss meets it: that of the logits where the input of their head is kept."""
        classes = self.parameters.get("classes") if self.codec == "head" else None
        return self.shape if classes is None else (*self.shape[:-1], int(classes))

    def parts(self) -> tuple[Part, ...]:
        """The arrays that hold one row."""
        return self.build().parts(self.shape)

    def row_bytes(self) -> int:
        """Bytes of one row on disk, without index and padding; of the longest row when rows differ in length."""
        parts = self.parts()
        elements = 1 if self.packing is None else self.packing.counts(self.shape[self.packing.axes[0]])
        sizes = (np.dtype(part.dtype).itemsize * prod(part.shape) * (elements if part.ragged else 1) for part in parts)
        return sum(sizes)

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "codec": self.codec,
            "parameters": dict(self.parameters),
            "shape": list(self.shape),
            "point": self.point,
            "reduce": self.reduce,
            "error": dict(self.error),
            **({} if self.packing is None else {"packing": self.packing.to_json()}),
            **({} if self.compression == "none" else {"compression": self.compression}),
            **({"constants": dict(self.constants)} if self.constants else {}),
        }

    def identity(self) -> dict[str, Any]:
        """The same without the measured error, which depends on the rows that were heard first: builders of one cache
        that begin with other shards differ in it."""
        return {key: value for key, value in self.to_json().items() if key != "error"}


def read_schema(content: Any) -> SignalSchema:
    """A schema from its JSON. Raises CacheError for anything a writer of ours would not have written."""
    try:
        shape = tuple(content["shape"])
        schema = SignalSchema(
            check_name(content["name"], "signal"),
            str(content["codec"]),
            dict(content["parameters"]),
            shape,
            str(content.get("point", "")),
            str(content.get("reduce", "none")),
            dict(content.get("error", {})),
            read_packing(content.get("packing")),
            str(content.get("compression", "none")),
            {str(key): check_name(name, "constant") for key, name in dict(content.get("constants", {})).items()},
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CacheError(f"the manifest describes a signal in a way this version cannot read ({error!r})") from error
    if not all(isinstance(n, int) and not isinstance(n, bool) and 0 < n < 1 << 31 for n in shape):
        raise CacheError(f"signal {schema.name}: shape {shape} is impossible")
    if schema.compression not in COMPRESSIONS:
        raise CacheError(f"signal {schema.name}: this version knows no compression {schema.compression!r}")
    if schema.row_bytes() > _MOST_ROW_BYTES:
        raise CacheError(f"signal {schema.name}: one row would take {schema.row_bytes()} bytes")
    return schema
