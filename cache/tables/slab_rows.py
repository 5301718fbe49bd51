"""Rows of one shard's array that has no place in the table: compressed, written by others, or nowhere to map it."""

import mmap
import os
from collections.abc import Callable
from functools import partial
from math import prod
from typing import Any, Protocol

import numpy as np

from ..codecs import Part
from ..errors import CacheError, DamagedCacheError
from ..storage.folder import FolderStore
from .array_place import ArrayPlace, check_file
from .chunk_memory import chunk_memory
from .lost_file import lost_file
from .zstd import decompress

_MOST_CHUNK_BYTES = 1 << 32


class SlabRows(Protocol):
    """Rows of one array."""

    def gather(self, rows: np.ndarray) -> np.ndarray:
        """Rows (n,), in any order -> (n, *shape)."""


class FileRows:
    """A file that is not compressed, mapped while it is read: for systems that reserve no addresses."""

    def __init__(self, place: ArrayPlace) -> None:
        self._place = place

    def gather(self, rows: np.ndarray) -> np.ndarray:
        place = self._place
        with place.open() as file:
            place.check_size(file)
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                dtype = np.dtype(place.part.dtype).newbyteorder("<")
                count = place.rows * prod(place.part.shape)
                table = np.frombuffer(data, dtype, count).reshape(place.shape)
                found: np.ndarray = table[rows]
                del table  # a map cannot be closed under an array
        return found


class ChunkRows:
    """Whole chunks are decoded, each once, and kept in the process's memory of chunks."""

    def __init__(self, key: tuple[int, int], chunk: int, part: Part, decode: Callable[[int], np.ndarray]) -> None:
        self._key, self._chunk, self._part, self._decode = key, chunk, part, decode

    def gather(self, rows: np.ndarray) -> np.ndarray:
        order = np.argsort(rows, kind="stable")
        ascending = rows[order]
        out = np.empty((len(rows), *self._part.shape), self._part.dtype)
        number = ascending // self._chunk
        cuts = [0, *(np.flatnonzero(np.diff(number)) + 1).tolist(), len(rows)]
        for start, stop in zip(cuts[:-1], cuts[1:], strict=True):
            if stop > start:
                chunk = self._get(int(number[start]))
                out[order[start:stop]] = chunk[ascending[start:stop] % self._chunk]
        return out

    def prefetch(self, first: int, stop: int) -> int:
        """Have the chunks of rows first..stop decoded in another thread. Returns their bytes."""
        numbers = range(first // self._chunk, -(-stop // self._chunk))
        for number in numbers:
            chunk_memory().soon((*self._key, number), partial(self._decode, number))
        return len(numbers) * self._chunk * np.dtype(self._part.dtype).itemsize * prod(self._part.shape)

    def _get(self, number: int) -> np.ndarray:
        return chunk_memory().get((*self._key, number), partial(self._decode, number))


def compressed_rows(place: ArrayPlace, key: tuple[int, int]) -> ChunkRows:
    """Rows of an array that a writer of ours compressed. Raises DamagedCacheError."""
    try:
        with place.open() as file:
            place.check_hash(file)
            index = place.read_index(file)[: place.chunks].astype(np.int64)
            end = file.seek(0, 2) - place.index_bytes
    except OSError as error:
        raise lost_file(place.store, place.file_name, error) from error
    sizes = index[:, 1]
    if np.any((sizes <= 0) | (sizes > end)) or sizes.sum() != end or np.any(index[:, 0] != np.cumsum(sizes) - sizes):
        raise DamagedCacheError(f"{place.where}: the chunks do not lie back to back up to the index")

    def decode(number: int) -> np.ndarray:
        offset, size = index[number].tolist()
        try:
            with place.open() as file:
                data = os.pread(file.fileno(), size, offset)
            raw = decompress(data, place.chunk_bytes)
        except (OSError, ValueError, RuntimeError) as error:
            raise DamagedCacheError(f"{place.where}: chunk {number} cannot be decompressed ({error})") from error
        return np.frombuffer(raw, np.dtype(place.part.dtype).newbyteorder("<")).reshape(-1, *place.part.shape)

    return ChunkRows(key, place.chunk, place.part, decode)


def foreign_rows(place: ArrayPlace, key: tuple[int, int]) -> ChunkRows:
    """Rows of an array of any other layout, through zarr-python."""
    import zarr

    if not isinstance(place.store, FolderStore):  # a chunk that left the mirror would read as the fill value
        raise CacheError(
            f"{place.store.url}/{place.name} has a layout that teachercache does not write, and is read in a local "
            "folder only: copy the cache to one"
        )
    try:
        array: Any = zarr.open_array(str(place.store.local(place.name)), mode="r")
    except Exception as error:  # what a library makes of a document that anybody may have written is not known
        raise DamagedCacheError(f"{place.store.url}/{place.name} cannot be read ({error!r})") from error
    if array.shape != place.shape or array.dtype != np.dtype(place.part.dtype):
        raise DamagedCacheError(
            f"{place.store.url}/{place.name} holds {array.dtype} {array.shape} where the receipt and the manifest say "
            f"{place.part.dtype} {place.shape}"
        )
    _check_foreign(place, array)
    chunk = int(array.chunks[0])

    def decode(number: int) -> np.ndarray:
        try:
            return np.asarray(array[number * chunk : (number + 1) * chunk])
        except Exception as error:
            raise DamagedCacheError(f"{place.store.url}/{place.name} cannot be read ({error!r})") from error

    return ChunkRows(key, chunk, place.part, decode)


def _check_foreign(place: ArrayPlace, array: Any) -> None:
    """Raise DamagedCacheError for chunks of a size that cannot be meant, and for chunks without a file, which a Zarr
    library reads as the fill value. With records, every file is compared with its own."""
    where, outer = f"{place.store.url}/{place.name}", array.shards or array.chunks
    if min(outer) < 1 or prod(outer) * array.dtype.itemsize > _MOST_CHUNK_BYTES:
        raise DamagedCacheError(f"{where} has chunks {outer}, which cannot be meant")
    files = sum(not file.name.endswith("/zarr.json") for file in place.store.tree(place.name))
    wanted = prod(-(-size // step) for size, step in zip(array.shape, outer, strict=True))
    if files < wanted:
        raise DamagedCacheError(f"{where} has {files} files of {wanted} chunks: a missing one would read as its fill")
    if place.records is not None:
        for name in place.records():
            if name.startswith(f"{place.name}/"):
                check_file(place.store, name, place.records)
