"""Samples in plain tar shards, as the webdataset convention lays them out.

It refuses compressed shards. Samples are read at random, so a shard is a local file: its own, or its copy in the mirror
when it lies in an object store.
"""

import os
import weakref
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import xxhash

from .errors import DataError
from .fingerprint import JSON, listing_digest
from .open_files import OpenFile, TarFile, close, open_again, open_anew
from .sample import Sample
from .source import read_all
from .tar_catalogue import Catalogue, Fields, catalogue, pread
from .tar_index import Extent

_CHUNK = 1 << 22


class TarShard:
    """One tar file, indexed once and read with `pread`: no position is shared between threads or forked processes."""

    def __init__(self, name: str, origin: TarFile, fields: Fields) -> None:
        """Raises DataError when the file cannot be read or holds what cannot be a sample."""
        self.name, self._origin, self._fields = name, origin, fields
        opened = open_anew(origin)
        self._identity = opened.identity
        weakref.finalize(self, close, origin, opened.identity).atexit = False
        self._catalogue = _catalogue(origin, opened, fields)

    def __reduce__(self) -> tuple[Any, ...]:
        return TarShard, (self.name, self._origin, self._fields)

    @property
    def ids(self) -> Sequence[str]:
        return self._catalogue.ids

    @property
    def labels(self) -> np.ndarray:
        return self._catalogue.labels

    def __len__(self) -> int:
        return len(self._catalogue.ids)

    def __getitem__(self, index: int) -> Sample:
        return self.part(index, self._catalogue.extents)

    def part(self, index: int, fields: Collection[str]) -> Sample:
        if not 0 <= index < len(self):
            raise IndexError(f"shard {self.name!r} has {len(self)} samples and no sample {index}")
        sample, label = self._catalogue.ids[index], int(self._catalogue.labels[index])
        places = {name: extents[index] for name, extents in self._catalogue.extents.items() if name in fields}
        held = {name: self._bytes(place, sample) for name, place in places.items() if place[1] >= 0}
        return Sample(sample, self.name, held.pop("image", b""), None if label < 0 else label, held)

    def _bytes(self, extent: np.ndarray, sample: str) -> bytes:
        opened = open_again(self._origin, self._identity)
        return pread(self._origin, opened.number, Extent(int(extent[0]), int(extent[1])), sample)

    def checksum(self) -> str:
        digest, offset, opened = xxhash.xxh3_128(), 0, open_again(self._origin, self._identity)
        while chunk := os.pread(opened.number, _CHUNK, offset):
            digest.update(chunk)
            offset += len(chunk)
        return digest.hexdigest()


def _catalogue(origin: TarFile, opened: OpenFile, fields: Fields) -> Catalogue:
    """What is in the file. Of a copy in the mirror, errors name the origin."""
    size, modified, _ = opened.identity
    try:
        return catalogue(opened.path, fields, size, modified)
    except DataError as error:
        raise DataError(str(error).replace(str(opened.path), str(origin))) from error


@dataclass(frozen=True)
class TarSource:
    """Tar shards, in the order of their paths. `files` and `sizes` (bytes) are by shard name."""

    files: Mapping[str, TarFile]
    sizes: Mapping[str, int]
    fields: Fields
    classes: tuple[str, ...]

    @cached_property
    def fingerprint(self) -> Mapping[str, JSON]:
        return {
            "kind": "webdataset",
            "image": list(self.fields.image),
            "label": self.fields.label,
            **self._others(),
            "shards": len(self.files),
            "bytes": sum(self.sizes.values()),
            "listing": listing_digest(self.sizes.items()),
        }

    def _others(self) -> Mapping[str, JSON]:
        """Nothing for a source of images alone, whose fingerprint is older than other fields."""
        others = self.fields.others
        return {"fields": {name: [kind, *extensions] for name, kind, extensions in others}} if others else {}

    @property
    def kinds(self) -> Mapping[str, str]:
        return {**({"image": "image"} if self.fields.image else {}), **self.fields.kinds}

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
