"""Small caches made through the real writer."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from teachercache.cache import Cache, Manifest, RowIndex, SignalSchema, create_cache, open_cache

SIGNALS = {
    "logits": SignalSchema("logits", "f16", {}, (10,)),
    "top": SignalSchema("top", "topk", {"k": 3, "temperatures": [1.0, 2.0]}, (10,)),
    "attention.1": SignalSchema("attention.1", "u8sqrt", {}, (2, 4, 4)),
    "embedding": SignalSchema("embedding", "int8", {}, (6,)),
}


def random_values(schema: SignalSchema, rows: int, seed: int) -> np.ndarray:
    """Values that the signal's codec can hold."""
    rng = np.random.default_rng(seed)
    if schema.codec == "u8sqrt":
        return rng.dirichlet(np.ones(schema.shape[-1]), (rows, *schema.shape[:-1])).astype(np.float32)
    return rng.normal(0, 3, (rows, *schema.shape)).astype(np.float32)


def write_shard(cache: Cache, shard: str, samples: int, seed: int = 0, batch: int = 7) -> dict[str, np.ndarray]:
    """Write one shard of random values in uneven batches; returns the values."""
    views, width = cache.manifest.views, len(cache.manifest.parameters)
    rows = samples * views
    values = {name: random_values(schema, rows, seed) for name, schema in cache.manifest.signals.items()}
    writer = cache.writer(shard)
    for start in range(0, rows, batch):
        writer.append({name: cache.codec(name).encode(x[start : start + batch]) for name, x in values.items()})
    ids = np.repeat([f"{shard}/{i:04d}" for i in range(samples)], views)
    labels = np.repeat(np.arange(samples) % 5 - 1, views)
    numbers = np.tile(np.arange(views, dtype=np.uint16), samples)
    parameters = np.random.default_rng(seed + 1).normal(size=(rows, width))
    writer.seal(RowIndex(ids, numbers, labels, parameters), source={"xxh3": "0"}, cost={"teacher_seconds": 1.0})
    return values


def make_manifest(shards: tuple[str, ...], **changes: Any) -> Manifest:
    """A manifest over SIGNALS with 2 views and blocks of 16 rows."""
    settings: dict[str, Any] = {
        "fingerprint": {"teacher": {"weights": "abc"}, "signals": {name: {} for name in SIGNALS}},
        "signals": SIGNALS,
        "shards": shards,
        "views": 2,
        "block": 16,
        "parameters": ("0.crop.left", "0.crop.top"),
        "classes": tuple("abcdefghij"),
    }
    return Manifest(**{**settings, **changes})


@pytest.fixture
def filled(tmp_path: Path) -> Callable[..., tuple[Cache, dict[str, dict[str, np.ndarray]]]]:
    """Make a cache whose shards hold the given numbers of samples; returns it and the values by shard and signal."""

    def make(*samples: int, **changes: Any) -> tuple[Cache, dict[str, dict[str, np.ndarray]]]:
        names = tuple(f"s{i}" for i in range(len(samples)))
        cache = create_cache(tmp_path / "cache", make_manifest(names, **changes))
        values = {name: write_shard(cache, name, n, i) for i, (name, n) in enumerate(zip(names, samples, strict=True))}
        return open_cache(tmp_path / "cache"), values

    return make


@pytest.fixture
def manifest() -> Callable[..., Manifest]:
    """`make_manifest`."""
    return make_manifest


@pytest.fixture
def shard_writer() -> Callable[..., dict[str, np.ndarray]]:
    """`write_shard`."""
    return write_shard
