"""The seam between whoever keeps samples and whoever reads them: named shards, read in one fixed order.

Nothing here knows tar files or folders. A source refuses to shuffle and to split: shuffling is phase two's, and workers
split by taking `shards()[rank::world]`.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np

from .errors import DataError
from .fingerprint import JSON
from .sample import Sample


class Shard(Protocol):
    """One opened shard: random access to its samples. Safe in threads, after a fork, and when pickled."""

    @property
    def name(self) -> str: ...

    @property
    def ids(self) -> Sequence[str]:
        """The samples' ids in the shard's order; no id occurs twice."""
        ...

    @property
    def labels(self) -> np.ndarray:
        """int64 (n,): class numbers, -1 for an unlabelled sample."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample:
        """Sample `index`, 0 <= index < len. Raises IndexError beyond, DataError when its bytes cannot be read."""
        ...

    def part(self, index: int, fields: Collection[str]) -> Sample:
        """The same sample with these fields alone, `image` among them or not: nothing else is read."""
        ...

    def checksum(self) -> str:
        """xxh3-128, in hex, of the shard's bytes (a folder's: of its files, in order)."""
        ...


class Source(Protocol):
    """Samples in named shards. Reading a shard twice gives the same samples in the same order. Picklable."""

    @property
    def fingerprint(self) -> Mapping[str, JSON]:
        """Kind, fields, counts and the hash of the listing; no absolute path, so that data may move."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of their numbers; empty when nobody named them."""
        ...

    @property
    def kinds(self) -> Mapping[str, str]:
        """Kind of each field of a sample by its name: text, array, json; image, under that name, where there are
        images."""
        ...

    def shards(self) -> Sequence[str]:
        """Shard names: unique (whatever the case), safe as folder names, in the source's order."""
        ...

    def restricted(self, shards: Sequence[str]) -> "Source":
        """The source of these shards alone, in its own order. Raises DataError for a shard it does not have, and
        where a part of it is no source by itself."""
        ...

    def open(self, shard: str) -> Shard:
        """Raises DataError when the shard is unknown, damaged, or holds what cannot be a sample."""
        ...

    def read(self, shard: str) -> Iterator[Sample]:
        """The shard's samples in order. Raises as `open` and `Shard.__getitem__` do."""
        ...


def read_all(shard: Shard) -> Iterator[Sample]:
    """The samples of an opened shard, in order."""
    return (shard[index] for index in range(len(shard)))


def check_ids(source: Source) -> int:
    """Opens every shard (headers only, no image) and counts samples. Raises DataError for an id that two shards share.

    Two samples with one id inside a shard are found by `Source.open` already.
    """
    owner: dict[str, str] = {}
    for name in source.shards():
        for sample in source.open(name).ids:
            first = owner.setdefault(sample, name)
            if first != name:
                raise DataError(
                    f"sample {sample!r} is in shard {first!r} and again in shard {name!r}: an id names one sample. "
                    "Rename one of them (prefix it with its shard), or leave one of the shards out of source.path"
                )
    return len(owner)
