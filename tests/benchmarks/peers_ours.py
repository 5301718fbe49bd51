"""Our own caches of the logits, by codec: encoded, hashed, synced and published on writing; decoded on reading."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from peers_system import BATCH, Read, System, batches

from teachercache.cache import Manifest, RowIndex, SignalSchema, SparseLogits, create_cache, open_cache

_CODECS: Mapping[str, tuple[str, dict[str, Any], str]] = {
    "ours, f16": ("f16", {}, "none"),
    "ours, f16 and zstd": ("f16", {}, "zstd"),
    "ours, u8affine": ("u8affine", {}, "none"),
    "ours, topk 16": ("topk", {"k": 16}, "none"),
    "ours, pps 16": ("pps", {"k": 16}, "none"),
}


def our_systems(classes: int) -> list[System]:
    """A system for each codec."""
    return [_system(name, *settings, classes) for name, settings in _CODECS.items()]


def _system(name: str, codec: str, parameters: dict[str, Any], compression: str, classes: int) -> System:
    schema = SignalSchema("logits", codec, parameters, (classes,), compression=compression)

    def write(folder: Path, values: np.ndarray) -> None:
        manifest = Manifest({"teacher": {"weights": "random"}}, {"logits": schema}, ("s-000",), views=1, block=256)
        cache, encode = create_cache(folder / "cache", manifest), schema.build().encode
        writer = cache.writer("s-000")
        for _, rows in batches(values):
            writer.append({"logits": encode(rows)})
        ids = np.array([f"{row:07d}" for row in range(len(values))])
        labels = np.zeros(len(values), np.int64)
        writer.seal(RowIndex(ids, np.zeros(len(values), np.uint16), labels, np.zeros((len(values), 0))))

    def opened(folder: Path) -> Read:
        cache, parts = open_cache(folder / "cache"), schema.parts()
        buffers = {part.name: np.empty((BATCH, *part.shape), part.dtype) for part in parts}  # as a student's stream has
        if codec == "f16":  # like every other system, it gives what it keeps
            return lambda rows: cache.encoded("logits", rows, buffers)["values"]
        decode = cache.codec("logits").decode
        return lambda rows: decode(cache.encoded("logits", rows, buffers), (classes,))

    forms = {"topk": _spread, "pps": None}
    return System(name, write, opened, forms.get(codec, np.asarray), whole=codec not in forms, package=False)


def _spread(found: SparseLogits) -> np.ndarray:
    """Logits (n, classes): the kept ones, and the mass of the tail spread evenly over the other classes."""
    left = found.classes - found.ids.shape[1]
    logits = np.repeat((found.tails[1.0] - np.log(left))[:, None], found.classes, axis=1)
    np.put_along_axis(logits, found.ids, found.values, axis=1)
    return logits
