"""One array of a finished shard: where its files are, what is promised of them, and whether they keep the promise."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from math import prod
from typing import Any, BinaryIO

import numpy as np
import xxhash

from ..codecs import Part
from ..errors import DamagedCacheError
from ..format.chunk_index import decode_index, encode_index
from ..format.zarr_metadata import COMPRESSIONS, array_json, chunk_file, part_block
from ..storage.store import Store
from .lost_file import lost_file

Records = Callable[[], Mapping[str, Mapping[str, Any]]]  # the files of a receipt
_CHUNK = 1 << 22


@dataclass(frozen=True, slots=True)
class ArrayPlace:
    """The array `name` of `rows` rows, of a cache with blocks of `block` rows. When `records` are given, each file's
    bytes are compared with their hash once, when it is opened."""

    store: Store
    name: str
    part: Part
    rows: int
    block: int
    compression: str = "none"
    records: Records | None = None

    @property
    def chunk(self) -> int:
        """Rows of a chunk."""
        return part_block(self.part, self.block, self.compression)

    def open(self) -> BinaryIO:
        """The file of all values, on this machine. Raises FileNotFoundError when there is none."""
        return self.store.open(self.file_name)

    @property
    def where(self) -> str:
        """The file of all values, for messages."""
        return f"{self.store.url}/{self.file_name}"

    @property
    def file_name(self) -> str:
        """Its name below the store."""
        return f"{self.name}/{chunk_file(1 + len(self.part.shape))}"

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.rows, *self.part.shape)

    @property
    def chunk_bytes(self) -> int:
        """Bytes of a chunk that is not compressed."""
        return self.chunk * np.dtype(self.part.dtype).itemsize * prod(self.part.shape)

    @property
    def chunks(self) -> int:
        return -(-self.rows // self.chunk)

    @property
    def index_bytes(self) -> int:
        return max(1, self.chunks) * 16 + 4

    @property
    def plain_bytes(self) -> int:
        """Bytes of the file when nothing is compressed."""
        return self.chunks * self.chunk_bytes + self.index_bytes

    def as_written(self) -> "ArrayPlace | None":
        """The same with the compression that zarr.json tells of; None when no writer of ours says such a thing of this
        array, and a Zarr library has to read it. Raises DamagedCacheError when zarr.json cannot be read."""
        others = (replace(self, compression=word) for word in COMPRESSIONS if word != self.compression)
        return next((place for place in (self, *others) if place._is_ours()), None)

    def _is_ours(self) -> bool:
        name = f"{self.name}/zarr.json"
        expected = _expected(self.shape, self.part.dtype, self.chunk, self.compression)
        try:
            with self.store.open(name) as file:
                if self.records is not None:
                    check_content(f"{self.store.url}/{name}", file, self.records().get(name, {}))
                data = file.read()
            if data == expected:
                return True
            found, ours = json.loads(data), json.loads(expected)
            return all(found.get(key) == ours[key] for key in ("shape", "data_type", "chunk_grid", "codecs"))
        except OSError as error:
            raise lost_file(self.store, name, error) from error
        except (ValueError, AttributeError, RecursionError) as error:
            raise DamagedCacheError(f"{self.store.url}/{name} cannot be read ({error})") from error

    def check_hash(self, file: BinaryIO) -> None:
        """Compare the open file of values with its hash, when there are records. Raises DamagedCacheError."""
        if self.records is not None:
            check_content(self.where, file, self.records().get(self.file_name, {}))

    def check_plain(self, file: BinaryIO) -> None:
        """Raise DamagedCacheError unless the open file is exactly the chunks back to back and an index that says so."""
        self.check_size(file)
        index = self.read_index(file)
        sizes = np.full(self.chunks, self.chunk_bytes, np.uint64)
        if not np.array_equal(index, decode_index(encode_index(len(index), sizes))):
            raise DamagedCacheError(f"{self.where}: the chunks do not lie in order, which this layout never writes")

    def check_size(self, file: BinaryIO) -> None:
        """Raise DamagedCacheError unless the open file has the bytes of an array that is not compressed."""
        size = file.seek(0, 2)
        if size != self.plain_bytes:
            raise DamagedCacheError(f"{self.where} has {size} bytes where {self.plain_bytes} were written")

    def read_index(self, file: BinaryIO) -> np.ndarray:
        """The index at the end of an open file: (slots, 2) uint64 of offset and bytes. Raises DamagedCacheError."""
        size, tail = file.seek(0, 2), self.index_bytes
        file.seek(max(0, size - tail))
        try:
            return decode_index(file.read(tail))
        except ValueError as error:
            raise DamagedCacheError(f"{self.where}: {error}") from error


def check_file(store: Store, name: str, records: Records) -> None:
    """Raise DamagedCacheError unless a file of a store has the bytes and the hash of its record."""
    try:
        with store.open(name) as file:
            check_content(f"{store.url}/{name}", file, records().get(name, {}))
    except OSError as error:
        raise lost_file(store, name, error) from error


def check_content(where: str, file: BinaryIO, record: Mapping[str, Any]) -> None:
    """The same of an open file, whose place is left at its beginning."""
    state, size = xxhash.xxh3_128(), 0
    file.seek(0)
    while data := file.read(_CHUNK):
        state.update(data)
        size += len(data)
    if (size, state.hexdigest()) != (record.get("bytes"), record.get("xxh3")):
        raise DamagedCacheError(
            f"{where} was changed after it was written (its size or xxh3 differs from the receipt); run `cache verify`"
        )
    file.seek(0)


@lru_cache(256)
def _expected(shape: tuple[int, ...], dtype: str, chunk: int, compression: str) -> bytes:
    return array_json(shape, np.dtype(dtype), chunk, compression)
