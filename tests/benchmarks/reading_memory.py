"""What a reader keeps in memory that is not the page cache, after rows of every shard were read."""

import gc
from pathlib import Path

import numpy as np
from figure import Figure
from reading_workloads import Workload

from teachercache.cache import open_cache


def memory_figures(workload: Workload) -> list[Figure]:
    """Anonymous memory before opening and after reading rows from everywhere, given back and held."""
    if not Path("/proc/self/smaps_rollup").exists():
        return []
    rows = np.random.default_rng(0).permutation(workload.cache.rows)
    gc.collect()
    before = _anonymous()
    cache = open_cache(workload.cache.root)
    for start in range(0, len(rows), workload.batch):
        for signal in cache.signals:
            cache.encoded(signal, rows[start : start + workload.batch])
    gc.collect()
    held, whole = max(_anonymous() - before, 4096), sum(x.nbytes for x in workload.values.values())
    text = f"{held / 1e6:.1f} MB held"
    what = f"{workload.name}, memory beside the page cache after every row was read"
    return [Figure(what, text, f"{whole / 1e6:.0f} MB of rows", whole / held, note="allocator's slack included")]


def _anonymous() -> int:
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("Anonymous:"))
