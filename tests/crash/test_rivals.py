"""Two writers of one shard, a hundred times, in threads and processes: one receipt, one whole shard, no rubbish."""

import multiprocessing
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from teachercache.cache import Manifest, RowIndex, SignalSchema, create_cache, open_cache
from teachercache.cache.format.receipt import Receipt
from teachercache.cache.keeping.rubbish import find_rubbish
from teachercache.cache.keeping.verify import verify_cache

SHARDS = tuple(f"s{number:02d}" for number in range(50))
SIGNALS = {
    "logits": SignalSchema("logits", "f32", {}, (4,)),
    "top": SignalSchema("top", "topk", {"k": 2}, (4,), compression="zstd"),
}


def values_of(shard: str) -> np.ndarray:
    return np.random.default_rng(SHARDS.index(shard)).normal(size=(6, 4)).astype("f4")


def write(root: Path, shard: str, together: Any) -> Receipt:
    """One writer; all wait for each other before they publish."""
    cache = create_cache(root, Manifest({"signals": {}}, SIGNALS, SHARDS, 1, 4))
    writer, values = cache.writer(shard), values_of(shard)
    writer.append({name: cache.codec(name).encode(values) for name in SIGNALS})
    ids = np.array([f"{shard}/{row}" for row in range(6)])
    together.wait()
    return writer.seal(RowIndex(ids, np.zeros(6, np.uint16), np.zeros(6, np.int64), np.zeros((6, 0))))


def write_all(root: Path, together: Any) -> None:
    for shard in SHARDS:
        write(root, shard, together)


def check(root: Path) -> None:
    cache = open_cache(root)
    assert cache.missing() == () and verify_cache(cache) == []
    assert len(list((root / "receipts").glob("*.json"))) == len(list((root / "rows").iterdir())) == len(SHARDS)
    assert sorted(path.name.partition(".")[0] for path in (root / "shards").glob("s*")) == list(SHARDS)
    assert [rubbish.name for rubbish in find_rubbish(cache.members)] == []
    np.testing.assert_array_equal(
        cache.read(np.arange(cache.rows)).signals["logits"], np.concatenate([values_of(shard) for shard in SHARDS])
    )


def test_two_threads_that_build_one_shard_leave_one(tmp_path: Path) -> None:
    together = threading.Barrier(2)
    rivals = [threading.Thread(target=write_all, args=(tmp_path, together)) for _ in range(2)]
    for rival in rivals:
        rival.start()
    for rival in rivals:
        rival.join()
    check(tmp_path)


@pytest.mark.parametrize("method", ["spawn"])
def test_processes_with_threads_that_build_one_shard_leave_one(tmp_path: Path, method: str) -> None:
    """Two processes; one of them builds in two threads."""
    context = multiprocessing.get_context(method)
    together = context.Barrier(3)
    other = context.Process(target=write_all, args=(tmp_path, together))
    other.start()
    rivals = [threading.Thread(target=write_all, args=(tmp_path, together)) for _ in range(2)]
    for rival in rivals:
        rival.start()
    for rival in rivals:
        rival.join()
    other.join()
    assert other.exitcode == 0
    check(tmp_path)
