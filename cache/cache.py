"""A cache: one directory that mirrors a source, shard for shard and row for row."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from .batch import CacheBatch
from .codecs import Codec
from .errors import CacheError, DamagedCacheError
from .format.constants import publish_constants, read_constant
from .format.fingerprint import check_fingerprint
from .format.manifest import Manifest, publish_manifest, read_manifest
from .format.receipt import Receipt, read_receipt
from .format.zarr_metadata import group_json
from .reading.epochs import Batching, EpochBatches, Epochs
from .reading.lookup import SampleLookup
from .reading.shard_reader import ShardReader, schema_of
from .reading.signal_rows import SignalRows
from .storage.address import open_store
from .storage.folder import FolderStore
from .storage.store import Store
from .writing.shard_writer import ShardWriter


class Cache:
    """An open cache. Made by `open_cache` or `create_cache`; reads what receipts name, writes whole shards."""

    def __init__(self, store: Store, manifest: Manifest) -> None:
        self.store, self.manifest = store, manifest
        self._codecs: dict[str, Codec] = {}
        self._readers: dict[str, ShardReader] = {}
        self._signals: dict[str, SignalRows] = {}
        self._constants: dict[str, np.ndarray] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        """A spawned process opens the cache again: maps and readers stay behind."""
        return open_cache, (self.url,)

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

    @cached_property
    def receipts(self) -> Mapping[str, Receipt]:
        """Receipts of the finished shards, in source order, as they were when first asked for."""
        found = ((shard, self.receipt(shard)) for shard in self.manifest.shards)
        return {shard: receipt for shard, receipt in found if receipt is not None}

    def receipt(self, shard: str) -> Receipt | None:
        """The shard's receipt as it is now. Raises DamagedCacheError when it belongs to another manifest."""
        receipt = read_receipt(self.store, shard)
        if receipt is not None and receipt.manifest != self.manifest.digest:
            raise DamagedCacheError(f"shard {shard} in {self.url} was built under another manifest; run `cache verify`")
        return receipt

    @cached_property
    def shards(self) -> tuple[str, ...]:
        """Finished shards in source order, as they were when first asked for."""
        return tuple(self.receipts)

    def missing(self) -> tuple[str, ...]:
        """Shards of the source without a receipt, in source order."""
        return tuple(shard for shard in self.manifest.shards if shard not in self.receipts)

    @cached_property
    def row_counts(self) -> np.ndarray:
        """Rows of each finished shard: (shards,) int64."""
        return np.array([receipt.rows for receipt in self.receipts.values()], np.int64)

    @cached_property
    def _starts(self) -> np.ndarray:
        return np.concatenate([[0], np.cumsum(self.row_counts)]).astype(np.int64)

    @property
    def rows(self) -> int:
        """Rows of all finished shards."""
        return int(self.row_counts.sum())

    @property
    def signals(self) -> tuple[str, ...]:
        """Names of the signals."""
        return tuple(self.manifest.signals)

    def codec(self, signal: str) -> Codec:
        """The codec of a signal. Raises CacheError for an unknown signal."""
        if signal not in self._codecs:
            schema = schema_of(self.manifest, signal)
            self._codecs[signal] = schema.build({name: self.constant(name) for name in schema.constants.values()})
        return self._codecs[signal]

    def constant(self, name: str) -> np.ndarray:
        """What the cache keeps once under this name, read-only. Raises CacheError when there is no such constant."""
        if name not in self.manifest.constants:
            raise CacheError(f"{self.url} keeps no constant {name!r}; it has {', '.join(self.manifest.constants)}")
        if name not in self._constants:
            self._constants[name] = read_constant(self.store, name, self.manifest.constants[name])
        return self._constants[name]

    def reader(self, shard: str) -> ShardReader:
        """A reader of a finished shard, opened once. Raises CacheError when the shard has no receipt."""
        if shard not in self._readers:
            if shard not in self.receipts:
                raise CacheError(f"{self.url} has no finished shard {shard!r}; `teachercache cache build` makes it")
            self._readers[shard] = ShardReader(self.store, self.manifest, self.receipts[shard])
        return self._readers[shard]

    def writer(self, shard: str) -> ShardWriter:
        """A writer of one attempt at a shard."""
        return ShardWriter(self.store, self.manifest, shard)

    def require_complete(self) -> None:
        """Raise CacheError naming the shards that are missing."""
        missing = self.missing()
        if missing:
            some = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
            raise CacheError(
                f"{self.url}: {len(missing)} of {len(self.manifest.shards)} shards are missing ({some}); "
                "run `teachercache cache build` with the same configuration to finish it"
            )

    def locate(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Row numbers of the whole cache (n,) -> (number of the shard, row in the shard), each (n,) int64."""
        starts = self._starts
        if len(rows) and not 0 <= int(rows.min()) <= int(rows.max()) < starts[-1]:
            raise CacheError(f"{self.url} has rows 0 to {starts[-1] - 1}; {rows.min()} to {rows.max()} were asked for")
        shard = np.searchsorted(starts, rows, side="right") - 1
        return shard, rows - starts[shard]

    def encoded(
        self, signal: str, rows: np.ndarray, out: Mapping[str, np.ndarray] | None = None
    ) -> dict[str, np.ndarray]:
        """Encoded rows {part: (n, ...)} for row numbers of the whole cache, in the order asked. Fastest when sorted.

        `out` are buffers by part, of at least n rows, that are used instead of new ones; the result is views of them.
        """
        return self._rows_of(signal).read(*self.locate(rows), out)

    def _rows_of(self, signal: str) -> SignalRows:
        if signal not in self._signals:
            slabs = [self.reader(shard).slab() for shard in self.shards]
            self._signals[signal] = SignalRows(schema_of(self.manifest, signal), self.manifest.block, slabs)
        return self._signals[signal]

    def read(self, rows: np.ndarray, signals: Sequence[str] | None = None) -> CacheBatch:
        """Decoded rows by row number of the whole cache, in the order asked."""
        wanted = self.signals if signals is None else signals
        values = {name: self.codec(name).decode(self.encoded(name, rows), self._shape(name)) for name in wanted}
        shard, local = self.locate(rows)
        return CacheBatch(rows, *self._index_columns(shard, local), values)

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

        Raises CacheError for a signal, view, rank or start that is not there.
        """
        wanted = self.signals if signals is None else tuple(signals)
        chosen = None if views is None else tuple(views)
        batching = Batching(batch_size, chosen, seed, window, rank, world, drop_last, shuffle)
        for name in wanted:
            schema_of(self.manifest, name)
        read, prefetch = partial(self.read, signals=wanted), partial(self.prefetch, wanted)
        return EpochBatches(self.epochs(batching), read, prefetch, epoch, start)

    def epochs(self, batching: Batching) -> Epochs:
        """Which rows every batch of every epoch holds; nothing is read. Raises CacheError for what cannot be."""
        return Epochs(self.row_counts, self.manifest.block, self.manifest.views, batching)

    def prefetch(self, signals: Sequence[str], starts: np.ndarray, stops: np.ndarray) -> None:
        """Say that rows starts[i]..stops[i] will be read soon, no run across two shards. Returns at once."""
        shard, first = self.locate(starts)
        for name in signals:
            self._rows_of(name).prefetch(shard, first, first + (stops - starts))

    def take(self, ids: Sequence[str], signals: Sequence[str] | None = None, *, view: int = 0) -> CacheBatch:
        """Rows of samples by id, in the order asked, under one view. Raises CacheError for an id it does not hold."""
        if not 0 <= view < self.manifest.views:
            raise CacheError(f"{self.url} holds views 0 to {self.manifest.views - 1}, not {view}")
        found = self._samples.find(ids)
        if np.any(found < 0):
            raise CacheError(f"{self.url} holds no sample {ids[int(np.argmax(found < 0))]!r}")
        return self.read(found * self.manifest.views + view, signals)

    def _index_columns(self, shard: np.ndarray, local: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Ids, views and labels of rows given by (number of the shard, row in it)."""
        ids, views, labels = [], [], []
        for number in np.unique(shard):
            index = self.reader(self.shards[number]).index
            chosen = local[shard == number]
            ids.append(index.ids[chosen])
            views.append(index.views[chosen])
            labels.append(index.labels[chosen])
        back = np.argsort(np.argsort(shard, kind="stable"), kind="stable")
        return np.concatenate(ids)[back], np.concatenate(views)[back], np.concatenate(labels)[back]

    @cached_property
    def _samples(self) -> SampleLookup:
        return SampleLookup(np.concatenate([self.reader(shard).ids for shard in self.shards]))

    def _shape(self, signal: str) -> tuple[int, ...]:
        return schema_of(self.manifest, signal).shape


def open_cache(path: str | Path, asked: Mapping[str, object] | None = None) -> Cache:
    """Open a cache for reading.

    `asked` is a fingerprint that it must have. Raises CacheError when there is no cache, StaleCacheError when it was
    built from something else.
    """
    store = open_store(path)
    manifest = read_manifest(store)
    if asked is not None:
        check_fingerprint(store.url, manifest.fingerprint, asked)
    return Cache(store, manifest)


def create_cache(path: str | Path, manifest: Manifest, constants: Mapping[str, np.ndarray] | None = None) -> Cache:
    """Create a cache, or open the one that is there if it has this manifest's fingerprint.

    `constants` are written with it, by the names that its signals use. Raises StaleCacheError when another cache is
    there, CacheWriteError when the folder cannot be written.
    """
    store = open_store(path)
    store.publish("shards/zarr.json", group_json({"teachercache": {"format": 1}}))
    if constants:
        manifest = replace(manifest, constants=publish_constants(store, constants))
    publish_manifest(store, manifest)
    return open_cache(path, manifest.fingerprint)
