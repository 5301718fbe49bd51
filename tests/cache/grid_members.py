"""Caches whose parts are written into a base and extensions, from one table of values that says what each row is."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from teachercache.cache import Cache, Manifest, Rectangle, RowIndex, SignalSchema, create_cache
from teachercache.cache.grid.extension import extension_folder, publish_extension
from teachercache.cache.storage.folder import FolderStore

SCHEMAS = {
    "logits": SignalSchema("logits", "f16", {}, (5,)),
    "embedding": SignalSchema("embedding", "int8", {}, (3, 2)),
    "top": SignalSchema("top", "topk", {"k": 2, "temperatures": [1.0]}, (5,)),
}


@dataclass(frozen=True)
class Whole:
    """All cells of a grid: `samples` by shard, `views`, and values {signal: {shard: (samples, views, ...)}}."""

    samples: Mapping[str, int]
    views: int
    values: Mapping[str, Mapping[str, np.ndarray]]

    @property
    def rectangle(self) -> Rectangle:
        return Rectangle(tuple(self.samples), 0, self.views, tuple(self.values))

    def ids(self, shard: str) -> np.ndarray:
        return np.array([f"{shard}/{i}" for i in range(self.samples[shard])], np.str_)

    def labels(self, shard: str) -> np.ndarray:
        return np.arange(self.samples[shard]) % 4 - 1

    def parameters(self, shard: str) -> np.ndarray:
        """(samples, views, 2), every number another one."""
        count = self.samples[shard] * self.views * 2
        return hash_free(shard) + np.arange(count, dtype=np.float64).reshape(self.samples[shard], self.views, 2)


def hash_free(shard: str) -> int:
    return 1000 * int(shard[1:])


def make_whole(samples: list[int], views: int, signals: list[str], seed: int = 0) -> Whole:
    """A grid of random values."""
    rng = np.random.default_rng(seed)
    names = {f"s{i}": count for i, count in enumerate(samples)}
    values = {
        signal: {s: rng.normal(0, 3, (n, views, *SCHEMAS[signal].shape)).astype(np.float32) for s, n in names.items()}
        for signal in signals
    }
    return Whole(names, views, values)


def write_part(
    root: Path, whole: Whole, part: Rectangle, name: str = "", shards: list[str] | None = None, **changes: Any
) -> Cache:
    """Write a rectangle into the base (name "") or an extension; only some of its `shards` when they are given."""
    store = FolderStore(root)
    settings: dict[str, Any] = {
        "fingerprint": {"teacher": "t", "signals": {s: {"codec": SCHEMAS[s].codec} for s in part.signals}},
        "signals": {signal: SCHEMAS[signal] for signal in part.signals},
        "shards": part.shards,
        "views": part.count,
        "first_view": part.first,
        "block": 4,
        "parameters": ("left", "top"),
        **changes,
    }
    where = store.below(extension_folder(name)) if name else store
    cache = create_cache(where.url, Manifest(**settings))
    for shard in part.shards if shards is None else shards:
        write_shard(cache, whole, part, shard)
    if name:
        publish_extension(store, name)
    return cache


def write_shard(cache: Cache, whole: Whole, part: Rectangle, shard: str, **facts: Any) -> None:
    """One shard of a part."""
    views, samples = slice(part.first, part.end), whole.samples[shard]
    writer, encoded = cache.writer(shard), {}
    for signal in part.signals:
        values = whole.values[signal][shard][:, views].reshape(samples * part.count, *SCHEMAS[signal].shape)
        encoded[signal] = cache.codec(signal).encode(values)
    writer.append(encoded)
    ids, labels = np.repeat(whole.ids(shard), part.count), np.repeat(whole.labels(shard), part.count)
    numbers = np.tile(np.arange(part.first, part.end, dtype=np.uint16), samples)
    parameters = whole.parameters(shard)[:, views].reshape(-1, 2)
    writer.seal(RowIndex(ids, numbers, labels, parameters), **{"source": {"xxh3": f"hash of {shard}"}, **facts})
