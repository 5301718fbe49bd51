"""What it costs to hear each signal: the time of a pass that hears it alone, less that of a pass that hears nothing.

The teacher is loaded once for each signal, so a teacher that takes long to load is not asked.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter

import torch
from torch import Tensor

from ...cache.spec import SignalSpec
from ..device import pick_device
from .families.adapter import Adapter
from .families.family import open_teacher, teacher_inputs
from .inputs.loader import PreparedPieces
from .job import CacheJob

_PASSES = 4  # of which the first is not timed
_LONGEST = 20.0  # seconds that all loading together may take
_MOST = 32  # signals


@dataclass(frozen=True, slots=True)
class CaptureCost:
    """`bare` seconds of a pass that hears nothing, and by signal the seconds that hearing it adds. Those below `noise`
    say nothing: they may be negative. `signals` is empty for a teacher that takes long to load."""

    bare: float
    signals: Mapping[str, float]
    noise: float = 0.0


def capture_cost(job: CacheJob, rows: int) -> CaptureCost:
    """Timed on `rows` rows, made of the samples of the job's first shard over and over. The bare pass is timed after a
    whole round that warms everything up, and again at the end: by how much the two differ is noise, and so is a signal
    that seems to make a pass faster."""
    inputs = repeated_inputs(job, rows)
    started = perf_counter()
    cold = _seconds(job, {}, inputs)
    each = perf_counter() - started
    if len(job.signals) > _MOST or each * len(job.signals) > _LONGEST:
        return CaptureCost(cold, {})
    before = _seconds(job, {}, inputs)
    heard = {name: _seconds(job, {name: it}, inputs) for name, it in job.signals.items()}
    return _compared(heard, before, _seconds(job, {}, inputs))


def _compared(heard: Mapping[str, float], before: float, after: float) -> CaptureCost:
    """Seconds of passes that hear a signal against those of the bare pass before and after them."""
    bare = min(before, after)
    added = {name: seconds - bare for name, seconds in heard.items()}
    return CaptureCost(bare, added, max(abs(after - before), *(-it for it in added.values()), 0.0))


def repeated_inputs(job: CacheJob, rows: int) -> dict[str, Tensor]:
    """At least `rows` rows of the samples of the first shard, on the device."""
    shard, device = job.source.shards()[0], pick_device(job.teacher.device)
    prepare = teacher_inputs(job.teacher, job.folder, job.source, job.policy)
    piece = (shard, 0, len(job.source.open(shard)), True)
    prepared = PreparedPieces(job.source, job.policy, prepare, [piece], False)[0]
    repeat = -(-rows // prepared.rows)
    return {name: x.repeat(repeat, *[1] * (x.ndim - 1)).to(device) for name, x in prepared.inputs.items()}


def _seconds(job: CacheJob, signals: Mapping[str, SignalSpec], inputs: Mapping[str, Tensor]) -> float:
    teacher = open_teacher(job.teacher, job.folder, signals, pick_device(job.teacher.device))
    try:
        return min([pass_seconds(teacher, inputs) for _ in range(_PASSES)][1:])
    finally:
        teacher.close()


def pass_seconds(teacher: Adapter, inputs: Mapping[str, Tensor]) -> float:
    """Seconds of one pass, waiting for the device."""
    started = perf_counter()
    teacher(inputs)
    if teacher.device.type == "cuda":
        torch.cuda.synchronize(teacher.device)
    return perf_counter() - started
