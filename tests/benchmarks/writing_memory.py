"""Memory of writing and of reading a cache far larger than it, each in a process of its own: `python writing_memory.py
write|read FOLDER ROWS` prints how many bytes of it grew, at the most, that are not the page cache."""

import subprocess
import sys
from pathlib import Path

import numpy as np
from figure import Figure
from w1 import BATCH, ROW_BYTES, batches, empty_cache, random_rows, row_index

from teachercache.cache import Cache, open_cache

_BARS = {"write": 64, "read": 64}  # MB


def memory_figures(tiny: bool, scratch: Path) -> list[Figure]:
    """Peaks of one shard written in batches, and of all its rows read shuffled. None where /proc does not tell."""
    if not Path("/proc/self/status").exists():
        return []
    rows = 1024 if tiny else 102_400
    texts = {"write": "memory of writing one shard in batches", "read": "memory of reading all of its rows shuffled"}
    return [_figure(text, mode, scratch / "large", rows) for mode, text in texts.items()]


def _figure(text: str, mode: str, folder: Path, rows: int) -> Figure:
    command = [sys.executable, __file__, mode, str(folder), str(rows)]
    grown = max(4096, int(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
    whole, bar = rows * ROW_BYTES, _BARS[mode]
    ours, reference = f"{grown / 1e6:.1f} MB at the peak", f"{whole / 1e6:.0f} MB of rows"
    reached = grown <= bar * 10**6
    note = "beside the batch; allocator's slack, ids and labels of all rows included"
    return Figure(text, ours, reference, whole / grown, bar=f"<= {bar} MB", reached=reached, note=note)


def _anonymous() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("RssAnon:"))


def _write(cache: Cache, shard: str, rows: int) -> int:
    """The peak after each of the batches, and after sealing."""
    batch, peak = next(batches(random_rows(BATCH, 0))), 0
    writer = cache.writer(shard)
    for _ in range(rows // BATCH):
        writer.append(batch)
        peak = max(peak, _anonymous())
    writer.seal(row_index(shard, rows // BATCH * BATCH))
    return max(peak, _anonymous())


def _read(cache: Cache) -> int:
    rows, peak = np.random.default_rng(0).permutation(cache.rows), 0
    for start in range(0, len(rows), BATCH):
        cache.read(rows[start : start + BATCH])
        peak = max(peak, _anonymous())
    return peak


def _main(mode: str, folder: Path, rows: int) -> None:
    small = empty_cache(folder.with_name(f"small-{mode}"), 1)  # what a first use loads is no memory of a shard
    _write(small, "w1-000", 2 * BATCH)
    _read(open_cache(small.root))
    before = _anonymous()
    peak = _write(empty_cache(folder, 1), "w1-000", rows) if mode == "write" else _read(open_cache(folder))
    print(peak - before)


if __name__ == "__main__":
    _main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
