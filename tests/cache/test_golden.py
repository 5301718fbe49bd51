"""The golden cache of format version 1, committed once: this and every later version must read these very bytes."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from teachercache.cache import open_cache
from teachercache.cache.keeping.verify import verify_cache

GOLDEN = Path(__file__).parent.parent / "goldens" / "cache-v1"
BOUNDS = {"logits": 2e-3, "attention.0": 4e-3, "embedding": 0.017, "hidden.1": 0.0, "pixels": 0.0}
SHAPES = {"logits": (5,), "attention.0": (2, 3, 3), "embedding": (4,), "hidden.1": (3, 2), "pixels": (2, 2, 1)}


def expected(name: str, shard: int, rows: int) -> np.ndarray:
    """The formula the golden cache was made from."""
    shape = (rows, *SHAPES[name])
    wave = np.sin(np.arange(int(np.prod(shape))) * 0.7 + shard + len(name)).reshape(shape)
    if name == "pixels":
        return np.round((wave + 1) * 127)
    return np.exp(2 * wave) / np.exp(2 * wave).sum(axis=-1, keepdims=True) if name.startswith("attention") else 4 * wave


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_golden_values_read_as_they_were_written(name: str) -> None:
    cache = open_cache(GOLDEN)
    read = cache.read(np.arange(8), [name]).signals[name]
    whole = np.concatenate([expected(name, 0, 6), expected(name, 1, 2)])
    np.testing.assert_allclose(read, whole, atol=BOUNDS[name] + 1e-6, rtol=0)


def test_golden_topk_ids_and_tails_read_as_they_were_written() -> None:
    top = open_cache(GOLDEN).read(np.arange(6), ["top"]).signals["top"]
    logits = 4 * np.sin(np.arange(30) * 0.7 + 3).reshape(6, 5)
    shifted = np.sort(logits - logits.max(axis=1, keepdims=True), axis=1)[:, ::-1]
    np.testing.assert_array_equal(top.ids, np.argsort(-logits, axis=1)[:, :2])
    for temperature in (1.0, 4.0):
        tail = np.log(np.exp(shifted[:, 2:] / temperature).sum(axis=1))
        np.testing.assert_allclose(top.tails[temperature], tail, rtol=1e-5)


def test_golden_rows_and_receipts_read_as_they_were_written() -> None:
    cache = open_cache(GOLDEN, {"teacher": {"weights": "golden"}})
    batch = cache.read(np.arange(8), [])
    assert batch.ids.tolist() == [f"train-0/{i // 2}" for i in range(6)] + ["train-1/0"] * 2
    assert batch.labels.tolist() == [-1, -1, 0, 0, 1, 1, -1, -1]
    assert cache.reader("train-0").parameters.ravel().tolist() == [0.0, 1.0] * 3
    assert cache.manifest.classes == ("a", "b", "c", "d", "e")
    assert verify_cache(cache) == []


def test_nobody_has_touched_the_golden_bytes() -> None:
    digest = hashlib.sha256()
    for path in sorted(path for path in GOLDEN.rglob("*") if path.is_file()):
        digest.update(path.relative_to(GOLDEN).as_posix().encode() + b"\0" + path.read_bytes())
    assert digest.hexdigest() == "441535e9f9a2b713c8019a34d2eb33f3af6dc2a772776e5460b8a12c24a3e7ee"
