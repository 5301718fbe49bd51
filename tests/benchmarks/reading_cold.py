"""Blocks in shuffled order from files that are not in memory, the next window asked for ahead, beside reading the same
files from end to end. Files leave the page cache by posix_fadvise; their maps are given back before."""

import gc
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from contest import Contender, Watch, contest
from figure import Figure, compared
from reading_workloads import Workload, w1

from teachercache.cache import open_cache
from teachercache.cache.reading.epochs import Batching


def cold_figures(tiny: bool, scratch: Path) -> list[Figure]:
    """Wall time is what counts here: the disk is waited for."""
    if not hasattr(os, "posix_fadvise"):
        return []
    shards, rows, rounds, window = (1, 300, 1, 1) if tiny else (16, 8192, 5, 64)
    workload = w1(scratch / "cold", shards, rows)
    files = [path for path in workload.cache.root.rglob("*") if path.is_file() and path.stat().st_size > 4096]
    for file in files:
        _with_descriptor(file, os.fsync)
    contenders = {
        "a window ahead": Contender(1, partial(_epoch, workload, files, window, True)),
        "nothing ahead": Contender(1, partial(_epoch, workload, files, window, False)),
        "sequential": Contender(1, partial(_sequential, files)),
    }
    outcome = contest(contenders, rounds, warm_up=False)
    text = f"cold, {sum(file.stat().st_size for file in files) / 1e6:.0f} MB, blocks in shuffled order"
    return [
        compared(text, outcome, "a window ahead", "sequential", "epochs", 0.85),
        compared(f"{text}, without prefetching", outcome, "nothing ahead", "sequential", "epochs"),
    ]


def _epoch(workload: Workload, files: Sequence[Path], window: int, ahead: bool, watch: Watch) -> None:
    cache = open_cache(workload.cache.root)
    signals, buffers = cache.signals, workload.reusing()
    epochs = cache.epochs(Batching(workload.batch, None, 0, window, 0, 1, False, True))
    _drop(files)
    watch.start()
    for number in range(epochs.batches):
        if ahead:
            for starts, stops in epochs.ahead(0, number, number == 0):
                cache.prefetch(signals, starts, stops)
        rows = np.sort(epochs.rows(0, number))
        for signal in signals:
            cache.encoded(signal, rows)
    watch.stop()
    del buffers


def _sequential(files: Sequence[Path], watch: Watch) -> None:
    buffer = np.empty(1 << 20, np.uint8)
    _drop(files)
    watch.start()
    for path in sorted(files):
        with path.open("rb", buffering=0) as file:
            while file.readinto(buffer):
                pass
    watch.stop()


def _drop(files: Sequence[Path]) -> None:
    gc.collect()  # a file that is mapped stays in memory
    for file in files:
        _with_descriptor(file, lambda descriptor: os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED))


def _with_descriptor(file: Path, do: object) -> None:
    descriptor = os.open(file, os.O_RDONLY)
    try:
        do(descriptor)  # type: ignore[operator]
    finally:
        os.close(descriptor)
