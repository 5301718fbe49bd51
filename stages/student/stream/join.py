"""Joins rows of the cache to the samples they were heard from. numpy only.

Cache and source are walked in the same order; an id that disagrees is an error, never a lookup. Views come from the
cache when it keeps pixels; else they are drawn again from the sample and the parameters that the cache stored.
"""

import threading
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from ....cache import Cache
from ....data import Shard, Source, ViewPolicy
from ....data.readable import without
from ....data.views.captions import drawn_captions
from ....data.views.replaying import replay_rows
from ...cache_identity import PIXELS
from ...errors import StageError
from ...left_out import left_out_samples
from ..inputs.opened import OpenedShard


class Join:
    """The samples of cache rows, and their canonical views. Safe in threads and after a fork."""

    def __init__(self, cache: Cache, source: Source, policy: ViewPolicy) -> None:
        self._cache, self._source, self._policy = cache, source, policy
        self._opened: dict[str, Shard] = {}
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        """A spawned process joins anew: open shards and the lock stay behind."""
        return Join, (self._cache, self._source, self._policy)

    def ids(self, rows: np.ndarray) -> np.ndarray:
        """Sample ids of rows: (n,) str."""
        shard, local = self._cache.locate(rows)
        names = self._cache.shards
        found = [self._cache.reader(names[s]).index.ids[local[shard == s]] for s in np.unique(shard)]
        back = np.argsort(np.argsort(shard, kind="stable"), kind="stable")
        return np.concatenate([np.zeros(0, np.str_), *found])[back]

    @property
    def cache(self) -> Cache:
        return self._cache

    @property
    def policy(self) -> ViewPolicy:
        return self._policy

    @property
    def kinds(self) -> Mapping[str, str]:
        """Kind of each field of the source by its name."""
        return self._source.kinds

    def opened(self, name: str) -> OpenedShard:
        """A shard of the source, held against the cache's. Raises StageError when they do not match."""
        drawn = drawn_captions(self._policy, self._cache.reader(name).parameters)
        return OpenedShard(self._shard(name), self.kinds, self._policy.count, drawn)

    def by_shard(self, rows: np.ndarray) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        """(shard, rows inside it, their places in `rows`) of each shard that `rows` are of."""
        shard, local = self._cache.locate(rows)
        for number in np.unique(shard):
            places = np.flatnonzero(shard == number)
            yield self._cache.shards[number], local[places], places

    def views(self, rows: np.ndarray) -> np.ndarray:
        """Canonical views of rows: uint8 (n, H, W, C). Raises StageError when source and cache do not match."""
        if PIXELS in self._cache.manifest.signals:
            return self._cache.encoded(PIXELS, rows)["values"]
        policy = self._policy
        out = np.empty((len(rows), policy.size, policy.size, policy.channels), np.uint8)
        for name, local, places in self.by_shard(rows):
            self._replay(name, local, places, out)
        return out

    def _replay(self, name: str, local: np.ndarray, places: np.ndarray, out: np.ndarray) -> None:
        opened, parameters = self._shard(name), self._cache.reader(name).parameters
        views = np.empty((len(places), *out.shape[1:]), np.uint8)
        replay_rows(
            self._policy, partial(opened.part, fields=("image",)), local // self._policy.count, parameters[local], views
        )
        out[places] = views

    def _shard(self, name: str) -> Shard:
        with self._lock:
            if name not in self._opened:
                self._opened[name] = self._checked(name)
            return self._opened[name]

    def _checked(self, name: str) -> Shard:
        """Open a source shard and hold it against the cache's: the same bytes, the same ids in the same order."""
        opened, cached = self._source.open(name), self._cache.reader(name).ids
        if len(opened) != len(cached):
            opened = without(opened, left_out_samples(self._cache, name))
        ids = np.asarray(opened.ids, np.str_)
        if len(ids) != len(cached) or np.any(ids != cached):
            first = next(
                (i for i, (a, b) in enumerate(zip(ids, cached, strict=False)) if a != b), min(len(ids), len(cached))
            )
            raise StageError(
                f"shard {name}, sample {first}: the source does not hold the samples that {self._cache.url} was built "
                "from; restore the source, or build the cache again"
            )
        if self._cache.source_hash(name) not in ("", opened.checksum()):
            raise StageError(f"shard {name}: the source's bytes have changed since {self._cache.url} was built from it")
        return opened
