"""Samples in plain tar shards, as the webdataset convention lays them out.

It refuses remote addresses and compressed shards: phase two reads samples at random, so shards are local files.
"""

import os
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from .errors import DataError
from .fingerprint import JSON, listing_digest
from .sample import Sample
from .source import read_all
from .tar_catalogue import Fields, catalogue, pread
from .tar_index import Extent

_CHUNK = 1 << 22


class TarShard:
    """One tar file, opened once and read with `pread`: no position is shared between threads or forked processes."""

    def __init__(self, name: str, path: Path, fields: Fields) -> None:
        """Raises DataError when the file cannot be read or holds what cannot be a sample."""
        self.name, self._path, self._fields = name, path, fields
        try:
            self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise DataError(f"{path}: shard {name!r} cannot be opened ({error.strerror})") from error
        weakref.finalize(self, os.close, self._file)
        status = os.fstat(self._file)
        self._catalogue = catalogue(path, fields, status.st_size, status.st_mtime_ns)

    def __reduce__(self) -> tuple[Any, ...]:
        return TarShard, (self.name, self._path, self._fields)

    @property
    def ids(self) -> Sequence[str]:
        return self._catalogue.ids

    @property
    def labels(self) -> np.ndarray:
        return self._catalogue.labels

    def __len__(self) -> int:
        return len(self._catalogue.ids)

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < len(self):
            raise IndexError(f"shard {self.name!r} has {len(self)} samples and no sample {index}")
        catalogue = self._catalogue
        extent = Extent(int(catalogue.offsets[index]), int(catalogue.sizes[index]))
        image = pread(self._path, self._file, extent, catalogue.ids[index])
        label = int(catalogue.labels[index])
        return Sample(catalogue.ids[index], self.name, image, None if label < 0 else label)

    def checksum(self) -> str:
        digest, offset = xxhash.xxh3_128(), 0
        while chunk := os.pread(self._file, _CHUNK, offset):
            digest.update(chunk)
            offset += len(chunk)
        return digest.hexdigest()


@dataclass(frozen=True)
class TarSource:
    """Tar shards, in the order of their paths. `files` and `sizes` (bytes) are by shard name."""

    files: Mapping[str, Path]
    sizes: Mapping[str, int]
    fields: Fields
    classes: tuple[str, ...]

    @cached_property
    def fingerprint(self) -> Mapping[str, JSON]:
        return {
            "kind": "webdataset",
            "image": list(self.fields.image),
            "label": self.fields.label,
            "shards": len(self.files),
            "bytes": sum(self.sizes.values()),
            "listing": listing_digest(self.sizes.items()),
        }

    def shards(self) -> Sequence[str]:
        return tuple(self.files)

    def restricted(self, shards: Sequence[str]) -> "TarSource":
        for shard in shards:
            self._check(shard)
        chosen = set(shards)
        files = {name: file for name, file in self.files.items() if name in chosen}
        return replace(self, files=files, sizes={name: self.sizes[name] for name in files})

    def _check(self, shard: str) -> None:
        if shard not in self.files:
            raise DataError(
                f"the source has no shard {shard!r}; it has {len(self.files)}, from {next(iter(self.files))!r} on"
            )

    def open(self, shard: str) -> TarShard:
        self._check(shard)
        return TarShard(shard, self.files[shard], self.fields)

    def read(self, shard: str) -> Iterator[Sample]:
        return read_all(self.open(shard))
