"""A student's step fed from the cache beside the same step on batches that lie in memory, decoded and on the device.

Both sides are `train_fleet` with the same trials and equal batches; the cached side also plans, reads, joins, copies
and decodes them, as in any training. The clock runs from the end of the first step to the end of the last but one:
starting workers, building students and saving them do not count. A lone student is the hardest case, as a fleet shares
its batches.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import torch
from contest import Contender, Watch, contest
from figure import Figure, compared
from teachers import recipe, shipped

from teachercache.cache import Cache, open_cache
from teachercache.data import ViewPolicy, open_source
from teachercache.stages.student.fleet import BatchStream, FleetProgress, train_fleet
from teachercache.stages.student.models.builders import StudentShape
from teachercache.stages.student.spec import TrainSpec
from teachercache.stages.student.stream.batch import Batch
from teachercache.stages.student.stream.join import Join
from teachercache.stages.student.stream.stream import Stream
from teachercache.stages.student.trial.trial import Trial, needed_signals, needs_shuffled, plan_trials
from teachercache.stages.teacher.runner import build_cache

BAR = 0.9
_CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class Size:
    shards: int
    samples: int | None  # of one shard; None for all
    views: int
    labelled: int
    batch: int
    steps: int
    rounds: int


FULL = Size(shards=2, samples=None, views=4, labelled=100, batch=128, steps=42, rounds=5)
TINY = Size(shards=1, samples=48, views=1, labelled=4, batch=8, steps=4, rounds=1)


def measure(tiny: bool, scratch: Path) -> list[Figure]:
    """The figures of this benchmark."""
    size = TINY if tiny else FULL
    students = recipe().students
    fleet = plan_trials(students, recipe().train.model_copy(update={"seeds": (0,)}))
    alone = {student.name: (Trial(student, "distilled", 0),) for student in students}
    kept, replayed = (_Training(scratch, size, keep_pixels) for keep_pixels in (True, False))
    figures = []
    for name, trials in alone.items():
        figures += kept.figures(f"{name} alone, pixels in the cache", trials, (0, 1))
    figures += kept.figures(f"fleet of {len(fleet)}, pixels in the cache", fleet, (0,))
    for name, trials in alone.items():
        figures += replayed.figures(f"{name} alone, views replayed", trials, (0, 1))
    return figures


@dataclass(frozen=True, slots=True)
class _Remembered:
    """A stream whose batches lie in memory."""

    stream: BatchStream
    kept: Sequence[Batch]

    def __getattr__(self, name: str) -> Any:
        """All else is the stream's that made them."""
        return getattr(self.stream, name)

    def batches(self, start: int, stop: int) -> Iterator[Batch]:
        return iter(self.kept[start:stop])


class _Training:
    """One cache of the shipped recipe, and trials that train from it."""

    def __init__(self, scratch: Path, size: Size, keep_pixels: bool) -> None:
        self._bench = shipped(scratch, size.views, size.shards, size.samples, keep_pixels)
        self._size, self._scratch, self._numbers = size, scratch / f"pixels-{keep_pixels}", count()
        build_cache(self._bench.job(self._scratch / "cache", batch_size=256))

    def figures(self, what: str, trials: Sequence[Trial], workers: Sequence[int]) -> list[Figure]:
        """The trials fed by each number of workers."""
        cache = open_cache(self._scratch / "cache")
        streams = {number: self._stream(cache, trials, number) for number in workers}
        first = next(iter(streams.values()))
        kept = list(first.batches(0, self._size.steps))
        remembered = _Remembered(first, kept)
        contenders = {"in memory": self._fed(trials, remembered, cache)}
        contenders |= {f"{number} workers": self._fed(trials, stream, cache) for number, stream in streams.items()}
        outcome = contest(contenders, self._size.rounds, warm_up=False)
        return [
            compared(f"{what}, {number} workers", outcome, f"{number} workers", "in memory", "steps", BAR)
            for number in workers
        ]

    def _fed(self, trials: Sequence[Trial], stream: BatchStream, cache: Cache) -> Contender:
        train, views = self._train(0), self._bench.views
        shape = StudentShape(len(cache.manifest.classes), views.channels, views.size)

        def run(watch: Watch) -> None:
            folder = self._scratch / f"students-{next(self._numbers)}"
            train_fleet(trials, stream, shape, folder, train, _CPU, progress=clock(watch))
            shutil.rmtree(folder)

        return Contender(self._size.steps - 2, run)

    def _stream(self, cache: Cache, trials: Sequence[Trial], workers: int) -> Stream:
        join = Join(cache, open_source(self._bench.source), ViewPolicy(self._bench.views))
        return Stream(cache, join, self._train(workers), needed_signals(trials), _CPU, needs_shuffled(trials))

    def _train(self, workers: int) -> TrainSpec:
        train, size = recipe().train, self._size
        few = {"count": size.labelled, "per_batch": size.batch // 2}
        labelled = train.labelled and train.labelled.model_copy(update=few)
        changes = {"steps": size.steps, "batch_size": size.batch, "workers": workers, "labelled": labelled}
        return train.model_copy(update=changes)


def clock(watch: Watch) -> Callable[[FleetProgress], None]:
    """Starts the watch after the first step and stops it after the last but one, which is before students are saved."""

    def progress(now: FleetProgress) -> None:
        if now.failed:
            raise RuntimeError(f"a trial failed, so nothing can be compared: {dict(now.failed)}")
        if now.step == 1:
            watch.start()
        elif now.step == now.steps - 1:
            watch.stop()

    return progress
