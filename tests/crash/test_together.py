"""Two threads, two processes and a fork in the middle read the same values, also while another builds more shards."""

import hashlib
import multiprocessing
import os
import threading
from pathlib import Path

import numpy as np
import pytest

from teachercache.cache import Cache, Manifest, RowIndex, SignalSchema, create_cache, open_cache

SHARDS = tuple(f"s{number:02d}" for number in range(30))
SIGNALS = {
    "plain": SignalSchema("plain", "f32", {}, (4,)),
    "packed": SignalSchema("packed", "f16", {}, (4,), compression="zstd"),
}


def write(cache: Cache, shard: str) -> None:
    values = np.random.default_rng(SHARDS.index(shard)).normal(size=(9, 4)).astype("f4")
    writer = cache.writer(shard)
    writer.append({name: cache.codec(name).encode(values) for name in SIGNALS})
    ids = np.array([f"{shard}/{row}" for row in range(9)])
    writer.seal(RowIndex(ids, np.zeros(9, np.uint16), np.zeros(9, np.int64), np.zeros((9, 0))))


def heard(cache: Cache, times: int = 10) -> str:
    """A hash of some epochs of the first five shards' rows, in random order."""
    state, rng = hashlib.sha256(), np.random.default_rng(0)
    for _ in range(times):
        batch = cache.read(rng.permutation(45))
        for values in (*batch.signals.values(), batch.labels):
            state.update(np.ascontiguousarray(values).tobytes())
        state.update("".join(batch.ids.tolist()).encode())
    return state.hexdigest()


def in_a_fork(cache: Cache) -> str:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(writing, heard(cache).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as file:
        said = file.read()
    os.waitpid(pid, 0)
    return said


def read_elsewhere(root: Path, said: "multiprocessing.Queue[str]") -> None:
    said.put(heard(open_cache(root)))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")  # the fork in the middle is the point
def test_all_read_the_same_while_another_builds(tmp_path: Path) -> None:
    building = create_cache(tmp_path, Manifest({"signals": {}}, SIGNALS, SHARDS, 1, 4))
    for shard in SHARDS[:5]:
        write(building, shard)
    cache = open_cache(tmp_path)
    expected, context, said = heard(open_cache(tmp_path)), multiprocessing.get_context("spawn"), []
    queue: multiprocessing.Queue[str] = context.Queue()
    processes = [context.Process(target=read_elsewhere, args=(tmp_path, queue)) for _ in range(2)]
    builder = threading.Thread(target=lambda: [write(building, shard) for shard in SHARDS[5:]])
    readers = [threading.Thread(target=lambda: said.append(heard(cache))) for _ in range(2)]
    for each in (*processes, builder, *readers):
        each.start()
    said += [in_a_fork(cache), heard(cache), *(queue.get(timeout=60) for _ in processes)]
    for each in (*processes, builder, *readers):
        each.join()
    assert said == [expected] * 6
    assert cache.shards == SHARDS[:5] and open_cache(tmp_path).shards == SHARDS
