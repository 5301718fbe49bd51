"""Which shards of a joined cache are finished, and in which member's arrays each row of a signal lies.

Arithmetic on whole arrays: shards are rows of a table, its columns are bands of views that no member divides. It
refuses members that do not agree on how many samples a shard has, or on the bytes it was heard from.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import DamagedCacheError
from ..lazy import lazy_property
from ..reading.signal_rows import Slab
from .member import Member


@dataclass(frozen=True)
class SignalPlaces:
    """Where rows of one signal are: `slabs`, and by (shard, band) the number of the slab, -1 where no member has it.
    `firsts` and `widths` (slabs + 1,) are each slab's first view and its views of a sample."""

    slabs: Sequence[Slab]
    table: np.ndarray
    bands: np.ndarray
    firsts: np.ndarray
    widths: np.ndarray

    def find(self, shard: np.ndarray, row: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(Number of the shard, row in it) -> (number of the slab or -1, row in the slab), each (n,) int64."""
        sample, view = np.divmod(row, len(self.bands))
        slab = self.table[shard, self.bands[view]]
        return slab, sample * self.widths[slab] + view - self.firsts[slab]

    def runs(self, shard: np.ndarray, start: np.ndarray, stop: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Runs of rows start..stop of a shard -> (number of the slab, start, stop) of all runs in slabs that hold them;
        views of one sample in between may be among those."""
        found = []
        edges = np.flatnonzero(np.diff(self.bands, prepend=-1, append=len(self.table[0]) if len(self.table) else 0))
        for low, high in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            slab = self.table[shard, self.bands[low]]
            first, last = (start - high) // len(self.bands) + 1, (stop - 1 - low) // len(self.bands)
            held = (slab >= 0) & (first <= last)
            slab, width, shift = slab[held], self.widths[slab[held]], self.firsts[slab[held]]
            found.append((slab, first[held] * width + low - shift, last[held] * width + high - shift))
        slabs, starts, stops = (np.concatenate(column) for column in zip(*found, strict=True))
        return slabs, starts, stops


class Layout:
    """The grid of some members. `shards` are all in order; `finished` those that every member covering them has, and
    that have every view."""

    def __init__(self, members: Sequence[Member]) -> None:
        self._members = members
        self.shards = tuple(dict.fromkeys(shard for member in members for shard in member.manifest.shards))
        self.views = max(member.rectangle.end for member in members)
        edges = {0, self.views} | {edge for it in members for edge in (it.rectangle.first, it.rectangle.end)}
        self._edges = sorted(edges)
        self._check()

    @property
    def single(self) -> bool:
        """Whether there is one member, whose rows are the grid's."""
        return len(self._members) == 1

    @lazy_property
    def _covers(self) -> np.ndarray:
        """Which shards each member is to hold: (members, shards) bool."""
        return np.stack([_places(self.shards, member.manifest.shards) >= 0 for member in self._members])

    @lazy_property
    def _rows(self) -> np.ndarray:
        """The number of each shard in each member's table, -1 where it has none: (members, shards) int64."""
        return np.stack([_places(self.shards, member.table.shards) for member in self._members])

    @lazy_property
    def _finished(self) -> np.ndarray:
        """Which shards are finished: (shards,) bool."""
        whole: np.ndarray = np.all(~self._covers | (self._rows >= 0), axis=0)
        for band in range(len(self._edges) - 1):
            holds = [self._holds(member, band) for member in self._members]
            whole &= np.any(self._covers & np.array(holds)[:, None], axis=0)
        return whole

    @lazy_property
    def finished(self) -> tuple[str, ...]:
        """The finished shards, in order."""
        return tuple(shard for shard, whole in zip(self.shards, self._finished.tolist(), strict=True) if whole)

    @lazy_property
    def samples(self) -> np.ndarray:
        """Samples of each finished shard: (finished,) int64."""
        counts = np.zeros(len(self.shards), np.int64)
        for member, places in zip(self._members, self._rows, strict=True):
            there = places >= 0
            counts[there] = member.table.rows[places[there]] // member.manifest.views
        found: np.ndarray = counts[self._finished]
        return found

    def holders(self, shard: str) -> list[Member]:
        """The members that hold a finished shard."""
        return [member for member in self._members if shard in member.table.places]

    def places(self, signal: str) -> SignalPlaces:
        """Where the rows of a signal are; where several members have them, the first one is read."""
        table = np.full((len(self.finished), len(self._edges) - 1), -1, np.int64)
        slabs: list[Slab] = []
        firsts, widths = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        for member, places in zip(self._members, self._rows[:, self._finished], strict=True):
            if signal in member.manifest.signals:
                numbers = np.where(places >= 0, places + len(slabs), -1)
                for band in range(table.shape[1]):
                    if self._holds(member, band):
                        table[:, band] = np.where(table[:, band] < 0, numbers, table[:, band])
                found = member.slabs()
                slabs += found
                firsts.append(np.full(len(found), member.rectangle.first, np.int64))
                widths.append(np.full(len(found), member.rectangle.count, np.int64))
        bands = np.repeat(np.arange(len(self._edges) - 1), np.diff(self._edges))
        # number -1, of rows that no member has, finds the last entry: one more than there are slabs
        return SignalPlaces(slabs, table, bands, np.concatenate([*firsts, [0]]), np.concatenate([*widths, [1]]))

    def _holds(self, member: Member, band: int) -> bool:
        return member.rectangle.first <= self._edges[band] < member.rectangle.end

    def _check(self) -> None:
        """Raise DamagedCacheError when two members' receipts of one shard cannot be about the same samples."""
        if self.single:
            return
        seen: dict[str, tuple[Member, int, str]] = {}
        for member in self._members:
            table, views = member.table, member.manifest.views
            for shard, rows, source in zip(table.shards, table.rows.tolist(), table.sources, strict=True):
                first, samples, bytes_ = seen.setdefault(shard, (member, rows // views, source))
                if rows % views or samples != rows // views or (source and bytes_ and source != bytes_):
                    raise DamagedCacheError(
                        f"shard {shard}: {first.url} and {member.url} were not built from the same samples ({samples} "
                        f"and {rows / views:g} of them, xxh3 {bytes_ or 'unknown'} and {source or 'unknown'})"
                    )


def _places(shards: Sequence[str], held: Sequence[str]) -> np.ndarray:
    """The place of each of `shards` among those `held`, -1 where it is not: (shards,) int64."""
    if tuple(shards) == tuple(held):
        return np.arange(len(shards))
    places = {shard: number for number, shard in enumerate(held)}
    return np.array([places.get(shard, -1) for shard in shards], np.int64)
