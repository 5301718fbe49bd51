"""Writes one array of a shard: rows stream into a single Zarr shard file, hashed as they go.

The rows lie back to back in the order they came, padded to whole blocks, then the index of the blocks, then its
crc32c. Memory is one batch; nothing is ever rewritten.
"""

import struct
from math import prod
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import xxhash

from ..codecs import Part
from ..errors import CacheError
from ..format.zarr_metadata import array_json, chunk_file, part_block
from ..storage.durable import write_errors

FileRecord = dict[str, Any]  # {"bytes": int, "xxh3": str}


class ArrayWriter:
    """Appends rows of one part; `seal` makes it a Zarr array. Raises CacheWriteError when the disk refuses."""

    def __init__(self, folder: Path, part: Part, block: int, compression: str = "none") -> None:
        if compression != "none":
            raise CacheError(f"compression {compression!r} is not known")
        self._folder, self._part, self._block = folder, part, part_block(part, block)
        self._dtype = np.dtype(part.dtype).newbyteorder("<")
        self._rows = 0
        self._hash = xxhash.xxh3_128()
        self._path = folder / chunk_file(1 + len(part.shape))
        with write_errors(self._path):
            self._path.parent.mkdir(parents=True)
            self._file = self._path.open("xb", buffering=0)

    def append(self, rows: np.ndarray) -> None:
        """Add rows (n, *part.shape) of exactly the part's dtype."""
        if rows.shape[1:] != self._part.shape or rows.dtype != self._dtype:
            raise ValueError(f"part {self._part} was given {rows.dtype} {rows.shape[1:]}")
        self._rows += len(rows)
        self._write(np.ascontiguousarray(rows).reshape(-1).view(np.uint8))

    def seal(self) -> dict[str, FileRecord]:
        """Pad, write the index and zarr.json; the records of both files by path below the array's folder."""
        row_bytes = self._dtype.itemsize * prod(self._part.shape)
        blocks = -(-self._rows // self._block)
        fill = np.nan if self._dtype.kind == "f" else 0
        padding = np.full((blocks * self._block - self._rows, *self._part.shape), fill, self._dtype)
        self._write(padding.reshape(-1).view(np.uint8))
        self._write(np.frombuffer(block_index(max(1, blocks), blocks, self._block * row_bytes), np.uint8))
        metadata = array_json((self._rows, *self._part.shape), np.dtype(self._part.dtype), self._block)
        with write_errors(self._path):
            size = self._file.tell()
            self._file.close()
            (self._folder / "zarr.json").write_bytes(metadata)
        return {
            chunk_file(1 + len(self._part.shape)): {"bytes": size, "xxh3": self._hash.hexdigest()},
            "zarr.json": {"bytes": len(metadata), "xxh3": xxhash.xxh3_128_hexdigest(metadata)},
        }

    def close(self) -> None:
        """Let the file go without sealing it."""
        self._file.close()

    def _write(self, data: np.ndarray) -> None:
        view = memoryview(data.data)
        self._hash.update(view)
        with write_errors(self._path):
            while view:
                view = view[self._file.write(view) :]


def block_index(slots: int, blocks: int, block_bytes: int) -> bytes:
    """The index of a shard file: `slots` pairs (offset, bytes) of which the first `blocks` are filled, then crc32c."""
    missing = (1 << 64) - 1
    pairs = np.full((slots, 2), missing, "<u8")
    pairs[:blocks, 0] = np.arange(blocks, dtype="<u8") * block_bytes
    pairs[:blocks, 1] = block_bytes
    data = pairs.tobytes()
    return data + struct.pack("<I", google_crc32c.value(data))
