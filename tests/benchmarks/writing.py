"""A shard of W1 through the shard writer beside one plain buffered file of the same bytes.

The writer hashes every byte, writes Zarr metadata and the row index, syncs files and folders and publishes a receipt.
The plain file does none of it: once it is closed, once it is also synced.
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


@dataclass(frozen=True, slots=True)
class Size:
    rows: int
    rounds: int


FULL = Size(rows=16384, rounds=9)  # 58 MB
TINY = Size(rows=600, rounds=1)


def measure(tiny: bool, scratch: Path) -> list[Figure]:
    """The figures of this benchmark."""
    size = TINY if tiny else FULL
    values = random_rows(size.rows, 0)
    numbers = count()
    megabytes = max(1, size.rows * ROW_BYTES // 10**6)

    def contender(write: Callable[[dict[str, np.ndarray], Path], None]) -> Contender:
        def run(watch: Watch) -> None:
            folder = scratch / str(next(numbers))
            folder.mkdir()
            os.sync()  # nobody pays for what another left to the disk
            watch.start()
            write(values, folder)
            watch.stop()
            shutil.rmtree(folder)

        return Contender(megabytes, run)

    outcome = contest(
        {
            "shard": contender(_shard),
            "plain file": contender(partial(_plain, sync=False)),
            "plain file, fsync": contender(partial(_plain, sync=True)),
        },
        size.rounds,
    )
    return [
        compared("a shard with hash, fsync and receipt", outcome, "shard", "plain file", "MB", 0.75, "cpu"),
        compared("a shard with hash, fsync and receipt", outcome, "shard", "plain file, fsync", "MB", 0.85),
    ]


def _shard(values: dict[str, np.ndarray], folder: Path) -> None:
    cache = empty_cache(folder / "cache", 1)
    shard = cache.manifest.shards[0]
    writer = cache.writer(shard)
    for batch in batches(values):
        writer.append(batch)
    writer.seal(row_index(shard, len(values["logits"])))


def _plain(values: dict[str, np.ndarray], folder: Path, sync: bool) -> None:
    with (folder / "plain").open("wb") as file:
        for batch in batches(values):
            for parts in batch.values():
                file.write(parts["values"])
        if sync:
            file.flush()
            os.fsync(file.fileno())
