"""Writes one array of a shard: rows stream into a single Zarr shard file, hashed as they go.

The rows lie in chunks back to back in the order they came, the last one padded, then the index of the chunks, then its
crc32c. Memory is the buffer of the file, and one chunk where chunks are compressed; nothing is ever rewritten.
"""

from math import prod
from pathlib import Path

import numpy as np

from ..codecs import Part
from ..errors import CacheError
from ..format.chunk_index import encode_index
from ..format.zarr_metadata import COMPRESSIONS, array_json, chunk_file, part_block
from ..storage.durable import write_errors
from ..tables.zstd import compress
from .hashed_file import FileRecord, HashedFile, record_of


class ArrayWriter:
    """Appends rows of one part; `seal` makes it a Zarr array. Raises CacheWriteError when the disk refuses."""

    def __init__(self, folder: Path, part: Part, block: int, compression: str = "none") -> None:
        if compression not in COMPRESSIONS:
            raise CacheError(f"compression {compression!r} is not known; there are {', '.join(COMPRESSIONS)}")
        self._folder, self._part, self._compression = folder, part, compression
        self._chunk = part_block(part, block, compression)
        self._dtype = np.dtype(part.dtype).newbyteorder("<")
        self._rows = 0
        self._waiting = np.empty((0, *part.shape), self._dtype)  # a chunk that is not full yet, to be compressed
        self._held = 0  # rows in it
        self._sizes: list[int] = []  # of the chunks that were compressed
        self._file = HashedFile(folder / chunk_file(1 + len(part.shape)))

    def append(self, rows: np.ndarray) -> None:
        """Add rows (n, *part.shape) of exactly the part's dtype."""
        if rows.shape[1:] != self._part.shape or rows.dtype != self._dtype:
            raise ValueError(f"part {self._part} was given {rows.dtype} {rows.shape[1:]}")
        if self._compression == "none":
            self._file.write(_bytes(rows))
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
        self._file.write(np.frombuffer(encode_index(max(1, chunks), sizes), np.uint8))
        shape, dtype = (rows, *self._part.shape), np.dtype(self._part.dtype)
        metadata = array_json(shape, dtype, self._chunk, self._compression)
        with write_errors(self._folder):
            (self._folder / "zarr.json").write_bytes(metadata)
        return {chunk_file(1 + len(self._part.shape)): self._file.finish(), "zarr.json": record_of(metadata)}

    def close(self) -> None:
        """Let the file go without sealing it."""
        self._file.close()

    def _compress(self, rows: np.ndarray) -> None:
        """Write each chunk that these rows make full; the rest waits in a buffer of one chunk."""
        while len(rows):
            if not self._held and len(rows) >= self._chunk:
                self._write_chunk(rows[: self._chunk])
                rows = rows[self._chunk :]
                continue
            if not len(self._waiting):
                self._waiting = np.empty((self._chunk, *self._part.shape), self._dtype)
            taken = rows[: self._chunk - self._held]
            self._waiting[self._held : self._held + len(taken)] = taken
            self._held, rows = self._held + len(taken), rows[len(taken) :]
            if self._held == self._chunk:
                self._write_chunk(self._waiting)
                self._held = 0

    def _write_chunk(self, rows: np.ndarray) -> None:
        frame = compress(rows)
        self._sizes.append(len(frame))
        self._file.write(np.frombuffer(frame, np.uint8))


def _bytes(rows: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(rows).reshape(-1).view(np.uint8)
