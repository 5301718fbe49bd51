"""A new file that is written from front to back and hashed on the way.

What comes in small pieces is gathered in one buffer; what is large goes out at once, in pieces that are still in the
processor's cache when the kernel copies what was hashed. Memory is the buffer: 256 KiB, made when it is first needed.
Of a file that grows, at most 16 MiB more than it holds are reserved on the disk until it is finished.
"""

from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from ..storage.disk_hints import begin_writeback, reserve
from ..storage.durable import write_errors

FileRecord = dict[str, Any]  # {"bytes": int, "xxh3": str}

_BUFFER = 1 << 18
_PIECE = 1 << 19
_AHEAD = 1 << 22  # bytes after which the disk is told to begin, and a file is taken for a large one
_RESERVE = 1 << 24


def record_of(data: bytes) -> FileRecord:
    """The record of a file with these bytes."""
    return {"bytes": len(data), "xxh3": xxhash.xxh3_128_hexdigest(data)}


class HashedFile:
    """`write`, then `finish` or `close`. Raises CacheWriteError when the disk refuses, or the file is there already."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._hash = xxhash.xxh3_128()
        self._buffer: np.ndarray | None = None
        self._filled = self._written = self._begun = self._reserved = 0
        self._may_reserve = True
        with write_errors(path):
            path.parent.mkdir(parents=True)
            self._file = path.open("xb", buffering=0)

    def write(self, data: np.ndarray) -> None:
        """Add the bytes of a uint8 array (n,); the caller may use the array again."""
        if self._filled + len(data) > _BUFFER:
            self._flush()
        if len(data) > _BUFFER // 2:
            self._flush()
            for start in range(0, len(data), _PIECE):
                self._put(data[start : start + _PIECE])
            return
        if self._buffer is None:
            self._buffer = np.empty(_BUFFER, np.uint8)
        self._buffer[self._filled : self._filled + len(data)] = data
        self._filled += len(data)

    def finish(self) -> FileRecord:
        """Write what waits and let the file go; its record."""
        self._flush()
        with write_errors(self._path):
            if self._reserved:
                self._file.truncate(self._written)
            begin_writeback(self._file.fileno(), self._begun, self._written - self._begun)
            self._file.close()
        return {"bytes": self._written, "xxh3": self._hash.hexdigest()}

    def close(self) -> None:
        """Let the file go as it is."""
        self._file.close()

    def _flush(self) -> None:
        if self._buffer is not None and self._filled:
            self._put(self._buffer[: self._filled])
            self._filled = 0

    def _put(self, data: np.ndarray) -> None:
        self._prepare(len(data))
        view = memoryview(data.data)
        self._hash.update(view)
        self._written += len(view)
        with write_errors(self._path):
            while view:
                view = view[self._file.write(view) :]
        if self._written - self._begun >= _AHEAD:
            begin_writeback(self._file.fileno(), self._begun, self._written - self._begun)
            self._begun = self._written

    def _prepare(self, size: int) -> None:
        """Reserve room for what comes, in large steps: copying into it is cheaper than finding it page by page."""
        end = self._written + size
        if self._may_reserve and end > self._reserved and (self._reserved or end >= _AHEAD):
            self._may_reserve = reserve(self._file.fileno(), self._written, size + _RESERVE)
            self._reserved = end + _RESERVE
