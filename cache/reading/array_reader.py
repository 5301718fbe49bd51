"""Reads rows of one array of a shard.

Fast path: an uncompressed shard file whose blocks lie back to back in order is one table of rows; it is mapped and
rows are gathered straight from the map. Everything else goes through zarr-python, which any layout survives. A property
test holds the two equal.
"""

import json
import mmap
import struct
from math import prod
from pathlib import Path

import google_crc32c
import numpy as np

from ..codecs import Part
from ..errors import DamagedCacheError
from ..format.zarr_metadata import array_json, chunk_file, part_block
from ..storage.store import Store
from ..writing.array_writer import block_index


class MappedRows:
    """Rows of a mapped shard file. Safe in threads, and after a fork."""

    def __init__(self, path: Path, part: Part, rows: int, block: int) -> None:
        row_bytes = np.dtype(part.dtype).itemsize * prod(part.shape)
        blocks = -(-rows // block)
        _check_index(path, max(1, blocks), blocks, block * row_bytes)
        if rows == 0:
            self._table: np.ndarray = np.zeros((0, *part.shape), part.dtype)
            return
        with path.open("rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        flat = np.frombuffer(data, np.dtype(part.dtype).newbyteorder("<"), rows * prod(part.shape))
        self._table = flat.reshape(rows, *part.shape)

    def gather(self, rows: np.ndarray, out: np.ndarray) -> None:
        """Copy `rows` (checked by the caller) into `out` (len(rows), *shape)."""
        # mode="clip" lets numpy write into `out` directly; "raise" would gather into a buffer first
        np.take(self._table, rows, axis=0, out=out, mode="clip")


class ZarrRows:
    """The same through zarr-python: slower, for any codec and layout."""

    def __init__(self, folder: Path, rows: int) -> None:
        import zarr

        self._array = zarr.open_array(str(folder), mode="r")
        if self._array.shape[0] != rows:
            raise DamagedCacheError(f"{folder} holds {self._array.shape[0]} rows where the receipt says {rows}")

    def gather(self, rows: np.ndarray, out: np.ndarray) -> None:
        out[...] = self._array.oindex[rows]


ArrayRows = MappedRows | ZarrRows


def open_rows(store: Store, name: str, part: Part, rows: int, block: int) -> ArrayRows:
    """The fastest reader of the array `name`. Raises DamagedCacheError when its files are not what was written."""
    try:
        about, chunks = part_block(part, block), store.local(f"{name}/{chunk_file(1 + len(part.shape))}")
        metadata = json.loads((path := store.local(f"{name}/zarr.json")).read_bytes())
        plain = json.loads(array_json((rows, *part.shape), np.dtype(part.dtype), about))
        if all(metadata.get(key) == plain[key] for key in ("shape", "data_type", "chunk_grid", "codecs")):
            return MappedRows(chunks, part, rows, about)
        return ZarrRows(path.parent, rows)
    except (OSError, ValueError) as error:
        raise DamagedCacheError(f"{store.url}/{name} cannot be read ({error})") from error


def _check_index(path: Path, slots: int, blocks: int, block_bytes: int) -> None:
    """Raise DamagedCacheError unless the file is exactly `blocks` blocks back to back and the index that says so."""
    tail = slots * 16 + 4
    size = path.stat().st_size
    if size != blocks * block_bytes + tail:
        raise DamagedCacheError(f"{path} has {size} bytes where {blocks * block_bytes + tail} were written")
    with path.open("rb") as file:
        file.seek(-tail, 2)
        index = file.read()
    if struct.unpack("<I", index[-4:])[0] != google_crc32c.value(index[:-4]):
        raise DamagedCacheError(f"{path}: the index of blocks does not match its crc32c")
    if index != block_index(slots, blocks, block_bytes):
        raise DamagedCacheError(f"{path}: the blocks do not lie in order, which this layout never writes")
