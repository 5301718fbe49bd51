"""A few samples of a source, as a source: what a dry run works on."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ...data import DataError, Sample, Shard, Source


@dataclass(frozen=True)
class FewSamples:
    """One shard with `count` samples of another source's first shard; those that have a label and every field of
    `having`, where there are any."""

    whole: Source
    count: int
    having: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        """That of the whole source, and how many samples are looked at."""
        return {**self.whole.fingerprint, "only": self.count}

    @property
    def classes(self) -> tuple[str, ...]:
        return self.whole.classes

    @property
    def kinds(self) -> Mapping[str, str]:
        return self.whole.kinds

    def shards(self) -> Sequence[str]:
        """The first shard's name alone."""
        return list(self.whole.shards())[:1]

    def restricted(self, shards: Sequence[str]) -> "FewSamples":
        """Itself: it is one shard."""
        if list(shards) != list(self.shards()):
            raise DataError(f"a look at a few samples has the shard {self.shards()[0]} alone")
        return self

    def open(self, shard: str) -> "FewOfShard":
        """A piece of that shard."""
        return FewOfShard(self.whole.open(shard), self.count, self.having)

    def read(self, shard: str) -> Iterator[Sample]:
        """Its samples in order."""
        opened = self.open(shard)
        return (opened[i] for i in range(len(opened)))


@dataclass(frozen=True)
class FewOfShard:
    """Some samples of a shard."""

    whole: Shard
    count: int
    having: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.whole.name

    @cached_property
    def _chosen(self) -> list[int]:
        lacking = np.asarray(self.whole.labels < 0, np.int64)
        if self.having:
            fields = (self.whole.part(i, self.having).fields for i in range(len(self.whole)))
            lacking += 2 * np.array([any(name not in found for name in self.having) for found in fields], np.int64)
        first = np.argsort(lacking, kind="stable")[: self.count]
        return sorted(first.tolist())

    @property
    def ids(self) -> Sequence[str]:
        """Ids of the samples."""
        return [self.whole.ids[i] for i in self._chosen]

    @property
    def labels(self) -> np.ndarray:
        """Their labels, int64, -1 for none."""
        return self.whole.labels[self._chosen]

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, index: int) -> Sample:
        return self.whole[self._chosen[index]]

    def part(self, index: int, fields: Collection[str]) -> Sample:
        """Some fields of one of them."""
        return self.whole.part(self._chosen[index], fields)

    def checksum(self) -> str:
        """Of the whole shard: nothing less is ever changed."""
        return self.whole.checksum()
