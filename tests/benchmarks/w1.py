"""Workload W1: float16 logits of 1,000 classes and float16 embeddings of width 768, 3,536 bytes a row."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from teachercache.cache import Cache, Manifest, RowIndex, SignalSchema, create_cache, open_cache

WIDTHS = {"logits": 1000, "embedding": 768}
ROW_BYTES = 2 * sum(WIDTHS.values())
BATCH = 256


def random_rows(rows: int, seed: int) -> dict[str, np.ndarray]:
    """{signal: float16 (rows, width)}."""
    rng = np.random.default_rng(seed)
    return {name: rng.standard_normal((rows, width), np.float32).astype(np.float16) for name, width in WIDTHS.items()}


def empty_cache(root: Path, shards: int) -> Cache:
    """A cache for W1 in which no shard is finished."""
    manifest = Manifest(
        fingerprint={"teacher": {"weights": "random"}},
        signals={name: SignalSchema(name, "f16", {}, (width,)) for name, width in WIDTHS.items()},
        shards=tuple(f"w1-{i:03d}" for i in range(shards)),
        views=1,
        block=256,
    )
    return create_cache(root, manifest)


def batches(values: Mapping[str, np.ndarray]) -> Iterator[dict[str, dict[str, np.ndarray]]]:
    """The rows as a shard writer takes them, encoded, 256 at a time."""
    rows = len(values["logits"])
    for start in range(0, rows, BATCH):
        yield {name: {"values": array[start : start + BATCH]} for name, array in values.items()}


def row_index(shard: str, rows: int) -> RowIndex:
    """Ids and labels of `rows` plain samples."""
    ids = np.array([f"{shard}/{i:07d}" for i in range(rows)])
    return RowIndex(ids, np.zeros(rows, np.uint16), np.arange(rows) % 1000, np.zeros((rows, 0)))


def filled_cache(root: Path, shards: int, shard_rows: int) -> tuple[Cache, dict[str, np.ndarray]]:
    """A finished cache made by the real writer, and the same values in memory."""
    cache = empty_cache(root, shards)
    made = []
    for number, shard in enumerate(cache.manifest.shards):
        values = random_rows(shard_rows, number)
        writer = cache.writer(shard)
        for batch in batches(values):
            writer.append(batch)
        writer.seal(row_index(shard, shard_rows))
        made.append(values)
    return open_cache(root), {name: np.concatenate([values[name] for values in made]) for name in WIDTHS}
