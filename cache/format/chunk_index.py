"""The index at the end of a shard file: where each chunk is, as the Zarr v3 codec `sharding_indexed` keeps it."""

import struct

import google_crc32c
import numpy as np


def encode_index(slots: int, sizes: np.ndarray) -> bytes:
    """`slots` pairs (offset, bytes) and their crc32c: chunks of these sizes back to back, the other slots empty."""
    pairs = np.full((slots, 2), (1 << 64) - 1, "<u8")
    pairs[: len(sizes), 0] = np.cumsum(sizes) - sizes
    pairs[: len(sizes), 1] = sizes
    data = pairs.tobytes()
    return data + struct.pack("<I", google_crc32c.value(data))


def decode_index(data: bytes) -> np.ndarray:
    """The pairs: (slots, 2) uint64. Raises ValueError when the crc32c is not theirs."""
    if len(data) < 4 or struct.unpack("<I", data[-4:])[0] != google_crc32c.value(data[:-4]):
        raise ValueError("the index of chunks does not match its crc32c")
    return np.frombuffer(data[:-4], "<u8").reshape(-1, 2)
