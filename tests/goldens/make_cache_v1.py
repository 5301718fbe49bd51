"""Made tests/goldens/cache-v1 once. Never run it again over that folder: readers must read those bytes for ever."""

import sys
from pathlib import Path

import numpy as np

from teachercache.cache import Manifest, RowIndex, SignalSchema, create_cache

SIGNALS = {
    "logits": SignalSchema("logits", "f16", {}, (5,), "logits"),
    "top": SignalSchema("top", "topk", {"k": 2, "temperatures": [1.0, 4.0]}, (5,), "logits"),
    "attention.0": SignalSchema("attention.0", "u8sqrt", {}, (2, 3, 3), "attention.0"),
    "embedding": SignalSchema("embedding", "int8", {}, (4,), "embedding"),
    "hidden.1": SignalSchema("hidden.1", "f32", {}, (3, 2), "hidden.1"),
    "pixels": SignalSchema("pixels", "u8", {}, (2, 2, 1), "view"),
}
SAMPLES = {"train-0": 3, "train-1": 1}
VIEWS = 2


def values(name: str, shard: int, rows: int) -> np.ndarray:
    """Values from a formula, so that a test can say what must come out."""
    shape = (rows, *SIGNALS[name].shape)
    wave = np.sin(np.arange(int(np.prod(shape))) * 0.7 + shard + len(name)).reshape(shape)
    if name == "pixels":
        return np.round((wave + 1) * 127).astype(np.uint8)
    if name.startswith("attention"):
        return np.asarray(np.exp(2 * wave) / np.exp(2 * wave).sum(axis=-1, keepdims=True), np.float32)
    return (4 * wave).astype(np.float32)


def main(root: Path) -> None:
    """Write the cache."""
    fingerprint = {"teacher": {"weights": "golden"}, "signals": {name: {} for name in SIGNALS}}
    manifest = Manifest(fingerprint, SIGNALS, tuple(SAMPLES), VIEWS, 4, ("0.flip.flip",), ("a", "b", "c", "d", "e"))
    cache = create_cache(root, manifest)
    for number, (shard, samples) in enumerate(SAMPLES.items()):
        rows = samples * VIEWS
        writer = cache.writer(shard)
        writer.append({name: cache.codec(name).encode(values(name, number, rows)) for name in SIGNALS})
        ids = np.repeat([f"{shard}/{i}" for i in range(samples)], VIEWS)
        labels = np.repeat(np.arange(samples) - 1, VIEWS)
        views = np.tile(np.arange(VIEWS, dtype=np.uint16), samples)
        writer.seal(RowIndex(ids, views, labels, views[:, None].astype(np.float64)), cost={"teacher_seconds": 0.5})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
