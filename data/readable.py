"""A source without the samples that cannot be decoded: they are found before anything is built, and counted.

A shard that leaves samples out is a shard like any other, in the same order, so that a cache still mirrors it row for
row. Whoever builds from it records which were left out, and whoever joins leaves out the same. It refuses to leave out
more than it was allowed.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from .errors import DataError
from .fields import decode_field
from .fingerprint import JSON
from .sample import Sample, decode
from .source import Shard, Source, read_all


@dataclass(frozen=True)
class ReadableShard:
    """A shard without the samples of some ids."""

    whole: Shard
    left_out: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.whole.name

    @cached_property
    def places(self) -> np.ndarray:
        """Which samples of the whole shard there are: int64 (n,)."""
        left_out = set(self.left_out)
        return np.array([place for place, name in enumerate(self.whole.ids) if name not in left_out], np.int64)

    @cached_property
    def ids(self) -> Sequence[str]:
        return tuple(self.whole.ids[place] for place in self.places.tolist())

    @property
    def labels(self) -> np.ndarray:
        found: np.ndarray = self.whole.labels[self.places]
        return found

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> Sample:
        return self.whole[self._place(index)]

    def part(self, index: int, fields: Collection[str]) -> Sample:
        return self.whole.part(self._place(index), fields)

    def checksum(self) -> str:
        """That of the whole shard, whose bytes it is read from."""
        return self.whole.checksum()

    def _place(self, index: int) -> int:
        if not 0 <= index < len(self):
            raise IndexError(f"shard {self.name!r} has {len(self)} samples and no sample {index}")
        return int(self.places[index])


@dataclass(frozen=True)
class ReadableSource:
    """A source that was opened with `on_error: skip`. `limit` below 1 is a share of the samples, else a count. Shards
    that nobody has looked at yet are whole. `reasons` say of a shard that was looked at why each sample in `left_out`
    cannot be decoded, in their order."""

    whole: Source
    limit: float
    left_out: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    reasons: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def fingerprint(self) -> Mapping[str, JSON]:
        return self.whole.fingerprint

    @property
    def classes(self) -> tuple[str, ...]:
        return self.whole.classes

    @property
    def kinds(self) -> Mapping[str, str]:
        return self.whole.kinds

    def shards(self) -> Sequence[str]:
        return self.whole.shards()

    def restricted(self, shards: Sequence[str]) -> "ReadableSource":
        return replace(self, whole=self.whole.restricted(shards))

    def open(self, shard: str) -> Shard:
        opened, left_out = self.whole.open(shard), self.left_out.get(shard, ())
        return ReadableShard(opened, left_out) if left_out else opened

    def read(self, shard: str) -> Iterator[Sample]:
        return read_all(self.open(shard))

    def looked_at(
        self, shards: Sequence[str], channels: int, known: Mapping[str, tuple[str, ...]], threads: int
    ) -> "ReadableSource":
        """The source after every sample of `shards` has been decoded once; of those in `known` it is known already what
        is left out. Raises DataError, naming the first ones, when that is more than the limit."""
        look = [shard for shard in shards if shard not in known]
        found, total = {}, 0
        with ThreadPoolExecutor(threads) as pool:
            for shard in look:
                opened = self.whole.open(shard)
                errors = pool.map(lambda place, opened=opened: self._error(opened, place, channels), range(len(opened)))
                wrong = [(place, error) for place, error in enumerate(errors) if error]
                found[shard], total = wrong, total + len(opened)
        every = [error for wrong in found.values() for _, error in wrong]
        if len(every) > (self.limit * total if self.limit < 1 else self.limit):
            raise DataError(
                f"{len(every)} of {total} samples cannot be decoded, and source.skip_limit allows {self.limit:g}; the "
                f"first of them: {'; '.join(every[:3])}. To leave all of them out, set source.skip_limit: {len(every)}"
            )
        opened_ids = {shard: self.whole.open(shard).ids for shard in look}
        new = {shard: tuple(opened_ids[shard][place] for place, _ in found[shard]) for shard in look}
        reasons = {shard: tuple(error for _, error in found[shard]) for shard in look}
        return replace(self, left_out={**self.left_out, **known, **new}, reasons={**self.reasons, **reasons})

    def _error(self, shard: Shard, place: int, channels: int) -> str:
        """Why a sample cannot be decoded, "" when it can. A field that it lacks is not looked for here."""
        try:
            sample = shard[place]
            if "image" in self.kinds:
                decode(sample, channels)
            for name, kind in self.kinds.items():
                if name in sample.fields:
                    decode_field(sample, name, kind)
        except DataError as error:
            return str(error)
        return ""


def without(shard: Shard, left_out: Sequence[str]) -> Shard:
    """The shard without the samples of these ids."""
    return ReadableShard(shard, tuple(left_out)) if left_out else shard
