"""How long a forward pass takes. One batch at a time, nothing in flight behind it: latency, not peak throughput."""

from collections.abc import Callable, Sequence
from time import perf_counter

import numpy as np
import torch

_ENOUGH_SECONDS = 5.0  # a teacher that takes a second a batch is not run fifty times
_LEAST_RUNS = 5


def latency(run: Callable[[], object], batch: int, runs: int, device: torch.device) -> dict[str, float]:
    """Figures of `run`, which does one forward pass of `batch` samples.

    `p50_ms` and `p95_ms` are percentiles (linear) of the wall time of a pass, the device's work included;
    `samples_per_second` is the batch over the mean pass; `runs` are the passes timed: as many as asked for, or those
    that fit into five seconds, but never fewer than five. A tenth as many passes, at least three, warm up before.
    """
    for _ in range(max(3, runs // 10)):
        _seconds(run, device)
    seconds: list[float] = []
    while len(seconds) < runs and (len(seconds) < _LEAST_RUNS or sum(seconds) < _ENOUGH_SECONDS):
        seconds.append(_seconds(run, device))
    return summary(seconds, batch)


def summary(seconds: Sequence[float], batch: int) -> dict[str, float]:
    """Percentiles and rate of timed passes."""
    p50, p95 = np.percentile(seconds, (50, 95)) * 1e3
    rate = batch / float(np.mean(seconds))
    return {"p50_ms": float(p50), "p95_ms": float(p95), "samples_per_second": rate, "runs": len(seconds)}


def _seconds(run: Callable[[], object], device: torch.device) -> float:
    """Seconds of one pass: the device is idle before it and after it."""
    started = perf_counter()
    run()
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
    return perf_counter() - started
