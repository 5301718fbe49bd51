"""zstd of one chunk. Arrow decodes as fast as numcodecs does; numcodecs writes the checksum that damage is found by."""

from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa

LEVEL = 3


def compress(values: np.ndarray) -> bytes:
    """A frame of the array's bytes, with its size and a checksum of them."""
    return bytes(_encoder().encode(np.ascontiguousarray(values).reshape(-1).view(np.uint8)))


def decompress(data: bytes, size: int) -> Any:
    """The `size` bytes of a frame, as a buffer. Raises OSError for damage."""
    return _decoder().decompress(data, size)


@cache
def _encoder() -> Any:
    from numcodecs.zstd import Zstd

    return Zstd(level=LEVEL, checksum=True)


@cache
def _decoder() -> Any:
    return pa.Codec("zstd")
