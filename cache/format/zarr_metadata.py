"""The zarr.json files, as the Zarr v3 specification words them (https://zarr-specs.readthedocs.io, core v3.0 and
sharding-indexed v1.0). Any Zarr v3 client opens what they describe."""

import json
from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np

from ..codecs import Part

ROOT_FILE = "shards/zarr.json"
COMPRESSIONS = ("none", "zstd")
_ELEMENTS = 4096
_COMPRESSED_BYTES = 1 << 19  # of a chunk before it is compressed
_BYTES = {"name": "bytes", "configuration": {"endian": "little"}}
_ZSTD = {"name": "zstd", "configuration": {"level": 3, "checksum": True}}


def group_json(attributes: Mapping[str, Any]) -> bytes:
    """zarr.json of a group."""
    return _encode({"zarr_format": 3, "node_type": "group", "attributes": dict(attributes)})


def root_json() -> bytes:
    """zarr.json of the group of all shards."""
    return group_json({"teachercache": {"format": 1}})


def part_block(part: Part, block: int, compression: str = "none") -> int:
    """Rows that one chunk of a part's array holds: a block, or a fixed number of elements of a ragged part.

    A compressed chunk is decoded whole for a single row of it, so it holds less than a block where rows are large.
    """
    rows = _ELEMENTS if part.ragged else block
    if compression == "none":
        return rows
    row_bytes = np.dtype(part.dtype).itemsize * prod(part.shape)
    return max(1, min(rows, _COMPRESSED_BYTES // row_bytes))


def array_json(shape: tuple[int, ...], dtype: np.dtype[Any], block: int, compression: str = "none") -> bytes:
    """zarr.json of an array whose chunks are `block` rows, all of them in one shard file.

    The fill value is NaN where the dtype has one: a hole must never look like data.
    """
    blocks = max(1, -(-shape[0] // block))
    sharding = {
        "chunk_shape": [block, *shape[1:]],
        "codecs": [_BYTES] if compression == "none" else [_BYTES, _ZSTD],
        "index_codecs": [_BYTES, {"name": "crc32c"}],
        "index_location": "end",
    }
    return _encode(
        {
            "zarr_format": 3,
            "node_type": "array",
            "shape": list(shape),
            "data_type": dtype.name,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [blocks * block, *shape[1:]]}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": "NaN" if dtype.kind == "f" else 0,
            "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
            "attributes": {},
            "dimension_names": ["row", *([None] * (len(shape) - 1))],
        }
    )


def chunk_file(ndim: int) -> str:
    """Path of the one shard file below the array's folder."""
    return "/".join(["c", *(["0"] * ndim)])


def _encode(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, indent=1).encode() + b"\n"
