"""A shard of W1 through the shard writer beside one plain buffered file of the same bytes.

The writer hashes every byte, writes Zarr metadata and the row index, syncs files and folders and publishes a receipt.
The plain file does none of it: once it is closed, once it is also synced. Both are given the same batches of 256 rows.
The cache itself, and ids and labels of the rows, are there before the clock starts: a cache is made once for all its
shards, and ids come from the source. "The rows" is the writer until it is sealed: all bytes written and hashed.
"""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path

import numpy as np
from contest import Contender, Watch, contest
from figure import Figure, compared
from w1 import ROW_BYTES, batches, empty_cache, random_rows, row_index
from writing_memory import memory_figures

from teachercache.cache import Cache, RowIndex
from teachercache.cache.writing.shard_writer import ShardWriter


@dataclass(frozen=True, slots=True)
class Size:
    rows: int
    rounds: int


FULL = Size(rows=16384, rounds=9)  # 58 MB
TINY = Size(rows=600, rounds=1)


def measure(tiny: bool, scratch: Path) -> list[Figure]:
    """The figures of this benchmark."""
    size = TINY if tiny else FULL
    values, index = random_rows(size.rows, 0), row_index("w1-000", size.rows)
    numbers = count()

    def contender(prepare: Callable[[Path], Callable[[], object]]) -> Contender:
        def run(watch: Watch) -> None:
            folder = scratch / str(next(numbers))
            folder.mkdir()
            write = prepare(folder)
            os.sync()  # nobody pays for what another left to the disk
            watch.start()
            write()
            watch.stop()
            shutil.rmtree(folder)

        return Contender(max(1, size.rows * ROW_BYTES // 10**6), run)

    outcome = contest(
        {
            "shard": contender(lambda folder: partial(_shard, empty_cache(folder / "cache", 1), values, index)),
            "rows": contender(lambda folder: partial(_rows, empty_cache(folder / "cache", 1), values)),
            "plain file": contender(lambda folder: partial(_plain, folder, values, sync=False)),
            "plain file, fsync": contender(lambda folder: partial(_plain, folder, values, sync=True)),
        },
        size.rounds,
    )
    whole, hashed = "a shard with hash, fsync and receipt", "the rows of a shard with hash"
    return [
        compared(hashed, outcome, "rows", "plain file", "MB", 0.75, "cpu"),
        compared(whole, outcome, "shard", "plain file, fsync", "MB", 0.85),
        compared(whole, outcome, "shard", "plain file", "MB", clock="cpu", note="ratio of CPU"),
        *memory_figures(tiny, scratch),
    ]


def _rows(cache: Cache, values: dict[str, np.ndarray]) -> ShardWriter:
    writer = cache.writer(cache.manifest.shards[0])
    for batch in batches(values):
        writer.append(batch)
    return writer


def _shard(cache: Cache, values: dict[str, np.ndarray], index: RowIndex) -> None:
    _rows(cache, values).seal(index)


def _plain(folder: Path, values: dict[str, np.ndarray], sync: bool) -> None:
    with (folder / "plain").open("wb") as file:
        for batch in batches(values):
            for parts in batch.values():
                file.write(parts["values"])
        if sync:
            file.flush()
            os.fsync(file.fileno())
