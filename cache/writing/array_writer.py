"""Writes one array of a shard: rows stream into a single Zarr shard file, hashed as they go.

The rows lie in chunks back to back in the order they came, the last one padded, then the index of the chunks, then its
crc32c. Memory is one batch, or one chunk where chunks are compressed; nothing is ever rewritten.
"""

from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from ..codecs import Part
from ..errors import CacheError
from ..format.chunk_index import encode_index
from ..format.zarr_metadata import COMPRESSIONS, array_json, chunk_file, part_block
from ..storage.durable import write_errors
from ..tables.zstd import compress

FileRecord = dict[str, Any]  # {"bytes": int, "xxh3": str}


class ArrayWriter:
    """Appends rows of one part; `seal` makes it a Zarr array. Raises CacheWriteError when the disk refuses."""

    def __init__(self, folder: Path, part: Part, block: int, compression: str = "none") -> None:
        if compression not in COMPRESSIONS:
            raise CacheError(f"compression {compression!r} is not known; there are {', '.join(COMPRESSIONS)}")
        self._folder, self._part, self._compression = folder, part, compression
        self._chunk = part_block(part, block, compression)
        self._dtype = np.dtype(part.dtype).newbyteorder("<")
        self._rows = 0
        self._waiting: list[np.ndarray] = []  # rows of the chunk that is not full yet, to be compressed
        self._sizes: list[int] = []  # of the chunks that were compressed
        self._hash = xxhash.xxh3_128()
        self._path = folder / chunk_file(1 + len(part.shape))
        with write_errors(self._path):
            self._path.parent.mkdir(parents=True)
            self._file = self._path.open("xb", buffering=0)

    def append(self, rows: np.ndarray) -> None:
        """Add rows (n, *part.shape) of exactly the part's dtype."""
        if rows.shape[1:] != self._part.shape or rows.dtype != self._dtype:
            raise ValueError(f"part {self._part} was given {rows.dtype} {rows.shape[1:]}")
        if self._compression == "none":
            self._write(np.ascontiguousarray(rows).reshape(-1).view(np.uint8))
        else:
            self._compress(rows)
        self._rows += len(rows)

    def seal(self) -> dict[str, FileRecord]:
        """Pad, write the index and zarr.json; the records of both files by path below the array's folder."""
        chunks, rows = -(-self._rows // self._chunk), self._rows
        fill = np.nan if self._dtype.kind == "f" else 0
        self.append(np.full((chunks * self._chunk - rows, *self._part.shape), fill, self._dtype))
        plain = self._chunk * self._dtype.itemsize * prod(self._part.shape)
        sizes = np.array(self._sizes if self._compression != "none" else [plain] * chunks, np.uint64)
        self._write(np.frombuffer(encode_index(max(1, chunks), sizes), np.uint8))
        shape, dtype = (rows, *self._part.shape), np.dtype(self._part.dtype)
        metadata = array_json(shape, dtype, self._chunk, self._compression)
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

    def _compress(self, rows: np.ndarray) -> None:
        """Write each chunk that these rows make full; the rest waits."""
        while len(rows):
            missing = self._chunk - sum(map(len, self._waiting))
            self._waiting.append(rows[:missing].copy())  # the caller may use its buffer again
            rows = rows[missing:]
            if sum(map(len, self._waiting)) == self._chunk:
                frame = compress(np.concatenate(self._waiting))
                self._waiting = []
                self._sizes.append(len(frame))
                self._write(np.frombuffer(frame, np.uint8))

    def _write(self, data: np.ndarray) -> None:
        view = memoryview(data.data)
        self._hash.update(view)
        with write_errors(self._path):
            while view:
                view = view[self._file.write(view) :]
