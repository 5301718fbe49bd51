"""Phase one: the teacher runs once over every missing shard, and what it said goes to the cache.

Workers prepare, the device computes and encodes, a thread writes. The same call again computes only what is missing.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from time import perf_counter

import torch

from ...cache.format.schema import check_name
from ...cache.opening import note_receipts
from ...data import check_ids
from ..errors import Interrupted, StageError
from .job import CacheJob
from .privacy.release import release_of
from .running.devices import teacher_devices
from .running.pace import Pace, together
from .running.processes import run_processes
from .running.run import Result, Run
from .running.standing import missing_shards
from .running.stopped import Stopped, kept
from .skipping import look_at_samples

Progress = Callable[[int, int], None]  # rows done, rows to do


@dataclass(frozen=True, slots=True)
class BuildSummary:
    """What a build did: shards and rows made now, shards that stood already, seconds with loading, its pace without;
    `notes` are what a person might want to know of a cache that was begun, `lost` the shards that another builder
    finished first, which are not counted."""

    shards: int
    rows: int
    standing: int
    seconds: float
    pace: Pace = Pace()
    notes: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()


def build_cache(
    job: CacheJob,
    progress: Progress = lambda done, total: None,
    stop: Callable[[], bool] = lambda: False,
    only: Callable[[str], bool] = lambda shard: True,
    checked: bool = False,
) -> BuildSummary:
    """Compute every missing shard that `only` accepts, on each of the devices that the teacher's settings name. With
    `checked` the samples of the other shards are not looked at: somebody has found that no id is in two of them.

    Raises DataError and StageError for what cannot be used, StaleCacheError when another cache is there, StageFailed
    for a signal that is not finite, CacheWriteError when the disk refuses, Interrupted when `stop` says so.
    """
    started = perf_counter()
    for shard in job.source.shards():
        check_name(shard, "source.path: shard")
    if not checked:
        check_ids(job.source)
    chosen = [shard for shard in job.source.shards() if only(shard)]
    asked = set(chosen)
    missing = [shard for shard in missing_shards(job) if shard in asked]
    standing = len(job.source.shards()) - len(missing)
    if not missing:
        return BuildSummary(0, 0, standing, perf_counter() - started)
    if job.keep_pixels and "image" not in job.source.kinds:
        raise StageError("views.keep_pixels: the source has no images (source.image is empty), so there are no pixels")
    release_of(job)  # its accountant is there before the teacher works for hours
    job, left_out = look_at_samples(job, missing)
    total = _rows(job, missing)
    try:
        results = _run(job, missing, lambda done: progress(done, total), stop)
    except Stopped as stopped:
        raise Interrupted(kept(job, chosen)) from stopped
    note_receipts(job.address)
    lost = [shard for result in results for shard in result.lost]
    notes = tuple(dict.fromkeys(note for result in results for note in result.notes)) + left_out
    seconds = perf_counter() - started
    pace = results[0].pace if len(results) == 1 else together([result.pace for result in results], seconds)
    made, rows = len(missing) - len(lost), total - _rows(job, lost)
    return BuildSummary(made, rows, standing, seconds, replace(pace, rows=rows), notes, tuple(lost))


def _run(job: CacheJob, shards: list[str], progress: Callable[[int], None], stop: Callable[[], bool]) -> list[Result]:
    """On one device here, on several in a process each."""
    devices = teacher_devices(job.teacher)[: len(shards)]
    if len(devices) > 1:
        return run_processes(job, devices, shards, progress, stop)
    return [Run(job, shards, torch.device(devices[0]), progress, stop).result()]


def _rows(job: CacheJob, shards: list[str]) -> int:
    return sum(len(job.source.open(shard)) for shard in shards) * job.policy.count
