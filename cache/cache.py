"""A cache: one directory that mirrors a source, shard for shard and row for row, and the extensions below it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .batch import CacheBatch
from .codecs import Codec
from .errors import CacheError
from .format.receipt import Receipt
from .grid.join import joined_manifest
from .grid.joined_shard import JoinedShard
from .grid.layout import Layout, SignalPlaces
from .grid.member import Member
from .lazy import lazy_property
from .reading.epochs import Batching, EpochBatches, Epochs
from .reading.lookup import SampleLookup
from .reading.row_places import RowPlaces
from .reading.sample_columns import SampleColumns
from .reading.shard_reader import ShardReader, schema_of
from .reading.signal_rows import SignalRows
from .storage.address import open_store
from .storage.folder import FolderStore
from .writing.shard_writer import ShardWriter


class Cache:
    """An open cache, made by `open_cache` or `create_cache`. Reads what receipts name, writes whole shards.

    `members` are its directories: the base, and each extension that is read with it. `manifest` is over all of them. A
    shard is finished when every member that covers it has its receipt. Finished is what was so when it was first asked.
    """

    def __init__(self, members: Sequence[Member]) -> None:
        self.members, self.store = tuple(members), members[0].store
        self._layout = Layout(self.members)
        self.manifest = joined_manifest(self.members, self._layout.shards, self._layout.views)
        self._shards: dict[str, JoinedShard] = {}
        self._signals: dict[str, tuple[SignalPlaces | None, SignalRows]] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process reads the same rows, whatever is built in the meantime: maps and readers stay behind."""
        return _restore_cache, (self.url, tuple(member.state() for member in self.members))

    @property
    def url(self) -> str:
        """Where the cache is, for messages and for opening it again."""
        return self.store.url

    @property
    def root(self) -> Path:
        """The cache's folder. Raises CacheError when it lies in an object store."""
        if not isinstance(self.store, FolderStore):
            raise CacheError(f"{self.url} is no local folder")
        return self.store.root

    @lazy_property
    def receipts(self) -> Mapping[str, Receipt]:
        """Receipts of the finished shards, in source order; of a shard in several members the first one's. Each is read
        when it is asked for."""
        if self._layout.single:
            return self.members[0].receipts
        return {shard: self._layout.holders(shard)[0].receipts[shard] for shard in self.shards}

    def receipt(self, shard: str) -> Receipt | None:
        """The shard's receipt as it is now, None when any member lacks one; of several the first member's.

        Raises DamagedCacheError when it belongs to another manifest.
        """
        found = [member.receipt(shard) for member in self.members if shard in member.manifest.shards]
        return None if not found or None in found else found[0]

    def source_hash(self, shard: str) -> str:
        """xxh3-128 of the source shard that a finished shard was made from, "" when it was not noted."""
        tables = (member.table for member in self._layout.holders(shard))
        return next((found for table in tables if (found := table.sources[table.places[shard]])), "")

    @property
    def shards(self) -> tuple[str, ...]:
        """Finished shards in source order."""
        return self.members[0].table.shards if self._layout.single else self._layout.finished

    def missing(self) -> tuple[str, ...]:
        """Shards of the source that are not finished, in source order."""
        finished = set(self.shards)
        return tuple(shard for shard in self.manifest.shards if shard not in finished)

    @lazy_property
    def row_counts(self) -> np.ndarray:
        """Rows of each finished shard: (shards,) int64."""
        if self._layout.single:
            return self.members[0].table.rows
        return self._layout.samples * self.manifest.views

    @lazy_property
    def _places(self) -> RowPlaces:
        return RowPlaces(self.row_counts)

    @property
    def rows(self) -> int:
        """Rows of all finished shards."""
        return self._places.rows

    @property
    def signals(self) -> tuple[str, ...]:
        """Names of the signals."""
        return tuple(self.manifest.signals)

    def codec(self, signal: str) -> Codec:
        """The codec of a signal. Raises CacheError for an unknown signal."""
        schema_of(self.manifest, signal)
        return next(member for member in self.members if signal in member.manifest.signals).codec(signal)

    def constant(self, name: str) -> np.ndarray:
        """What the cache keeps once under this name, read-only. Raises CacheError when there is no such constant."""
        holders = (member for member in self.members if name in member.manifest.constants)
        return next(holders, self.members[0]).constant(name)

    def reader(self, shard: str) -> ShardReader | JoinedShard:
        """A reader of a finished shard, opened once. Raises CacheError when the shard is not finished."""
        if self._layout.single:
            return self.members[0].reader(shard)
        if shard not in self._shards:
            if shard not in self._numbers:
                raise CacheError(f"{self.url} has no finished shard {shard!r}; `teachercache cache build` makes it")
            number, views = self._numbers[shard], self.manifest.views
            read = partial(self._encoded_of_shard, number)
            samples = int(self._layout.samples[number])
            self._shards[shard] = JoinedShard(shard, self._layout.holders(shard), samples, views, read)
        return self._shards[shard]

    def writer(self, shard: str) -> ShardWriter:
        """A writer of one attempt at a shard. Raises CacheError for a cache with extensions: members are written."""
        if len(self.members) > 1:
            raise CacheError(f"{self.url} has extensions, and each member is written by itself")
        return self.members[0].writer(shard)

    def require_complete(self, signals: Sequence[str] = ()) -> None:
        """Raise CacheError naming the shards that are missing, or those that lack one of `signals` under some view."""
        missing = self.missing()
        if missing:
            some = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
            raise CacheError(
                f"{self.url}: {len(missing)} of {len(self.manifest.shards)} shards are missing ({some}); "
                "run `teachercache cache build` with the same configuration to finish it"
            )
        for signal in signals:
            places, _ = self._rows_of(signal)
            if places is not None and np.any(places.table < 0):
                raise self._without(signal, int(places.table.min(axis=1).argmin()))

    def locate(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Row numbers of the whole cache (n,) -> (number of the shard, row in the shard), each (n,) int64."""
        try:
            return self._places.find(rows)
        except IndexError as error:
            raise CacheError(f"{self.url} has {error}") from None

    def encoded(
        self, signal: str, rows: np.ndarray, out: Mapping[str, np.ndarray] | None = None
    ) -> dict[str, np.ndarray]:
        """Encoded rows {part: (n, ...)} for row numbers of the whole cache, in the order asked. Fastest when sorted.

        `out` are buffers by part, of at least n rows, that are used instead of new ones; the result is views of them.
        Raises CacheError for rows under which the signal was not kept.
        """
        return self._encoded(signal, *self.locate(rows), out)

    def _encoded(
        self, signal: str, shard: np.ndarray, row: np.ndarray, out: Mapping[str, np.ndarray] | None = None
    ) -> dict[str, np.ndarray]:
        places, rows_of = self._rows_of(signal)
        if places is not None:
            number, (shard, row) = shard, places.find(shard, row)
            if len(shard) and shard.min() < 0:
                raise self._without(signal, int(number[shard.argmin()]))
        return rows_of.read(shard, row, out)

    def _encoded_of_shard(self, number: int, signal: str, rows: np.ndarray) -> dict[str, np.ndarray]:
        return self._encoded(signal, np.full(len(rows), number, np.int64), rows)

    def _rows_of(self, signal: str) -> tuple[SignalPlaces | None, SignalRows]:
        """The reader of a signal's rows and, where there are extensions, where each of them is."""
        if signal not in self._signals:
            schema = schema_of(self.manifest, signal)
            places = None if self._layout.single else self._layout.places(signal)
            slabs = self.members[0].slabs() if places is None else places.slabs
            self._signals[signal] = places, SignalRows(schema, self.manifest.block, slabs)
        return self._signals[signal]

    def read(self, rows: np.ndarray, signals: Sequence[str] | None = None) -> CacheBatch:
        """Decoded rows by row number of the whole cache, in the order asked."""
        wanted = self.signals if signals is None else signals
        values = {name: self.codec(name).decode(self.encoded(name, rows), self._shape(name)) for name in wanted}
        shard, local = self.locate(rows)
        return CacheBatch(rows, *self._columns.gather(shard, local), values)

    def batches(
        self,
        batch_size: int,
        signals: Sequence[str] | None = None,
        *,
        views: Sequence[int] | None = None,
        seed: int = 0,
        epoch: int = 0,
        window: int = 64,
        rank: int = 0,
        world: int = 1,
        start: int = 0,
        drop_last: bool = False,
        shuffle: bool = True,
    ) -> EpochBatches[CacheBatch]:
        """One epoch of batches from batch `start` on: blocks in random order, rows shuffled in windows of `window`
        blocks, split between `world` ranks (docs/reading.md). Only `signals` and `views` are read; None for all.

        Raises CacheError for a signal, view, rank or start that is not there, and for several ranks while shards are
        missing: ranks that each see other shards would not read each row once.
        """
        if world > 1:
            self.require_complete()
        wanted = self.signals if signals is None else tuple(signals)
        chosen = None if views is None else tuple(views)
        batching = Batching(batch_size, chosen, seed, window, rank, world, drop_last, shuffle)
        for name in wanted:
            schema_of(self.manifest, name)
        read, prefetch = partial(self.read, signals=wanted), partial(self.prefetch, wanted)
        return EpochBatches(self.epochs(batching), read, prefetch, epoch, start)

    def epochs(self, batching: Batching) -> Epochs:
        """Which rows every batch of every epoch holds; nothing is read. Raises CacheError for what cannot be."""
        first = self.manifest.first_view
        if first and batching.views is not None:
            self._check_views(batching.views)
            batching = replace(batching, views=tuple(view - first for view in batching.views))
        return Epochs(self.row_counts, self.manifest.block, self.manifest.views, batching)

    def prefetch(self, signals: Sequence[str], starts: np.ndarray, stops: np.ndarray) -> None:
        """Say that rows starts[i]..stops[i] will be read soon, no run across two shards. Returns at once."""
        shard, first = self.locate(starts)
        for name in signals:
            places, rows_of = self._rows_of(name)
            runs = (shard, first, first + (stops - starts))
            rows_of.prefetch(*(runs if places is None else places.runs(*runs)))

    def take(self, ids: Sequence[str], signals: Sequence[str] | None = None, *, view: int = 0) -> CacheBatch:
        """Rows of samples by id, in the order asked, under one view. Raises CacheError for an id it does not hold."""
        self._check_views([view])
        found = self._samples.find(ids)
        if np.any(found < 0):
            raise CacheError(f"{self.url} holds no sample {ids[int(np.argmax(found < 0))]!r}")
        return self.read(found * self.manifest.views + view - self.manifest.first_view, signals)

    def _check_views(self, views: Sequence[int]) -> None:
        first, count = self.manifest.first_view, self.manifest.views
        for view in views:
            if not first <= view < first + count:
                raise CacheError(f"{self.url} holds views {first} to {first + count - 1}, not {view}")

    def _without(self, signal: str, shard: int) -> CacheError:
        return CacheError(
            f"{self.url} has no {signal} of shard {self.shards[shard]} under some views; `teachercache cache extend` "
            "with a configuration that names it computes it"
        )

    @lazy_property
    def _numbers(self) -> dict[str, int]:
        return {shard: number for number, shard in enumerate(self.shards)}

    @lazy_property
    def _columns(self) -> SampleColumns:
        views, first = self.manifest.views, self.manifest.first_view
        read = lambda number: self.reader(self.shards[number]).index  # noqa: E731
        return SampleColumns(self.row_counts // views, views, read, first)

    @lazy_property
    def _samples(self) -> SampleLookup:
        return SampleLookup(np.concatenate([np.zeros(0, np.str_), *(self.reader(shard).ids for shard in self.shards)]))

    def _shape(self, signal: str) -> tuple[int, ...]:
        return schema_of(self.manifest, signal).shape


def _restore_cache(url: str, states: tuple[tuple[Any, ...], ...]) -> Cache:
    store = open_store(url)
    return Cache([Member.of_state(store, state) for state in states])
