"""Eight students on one stream beside eight runs of one, where a batch is about a third of a lone student's step.

All are `train_fleet` from its first line to its last, so that building and saving the students count on both sides. The
views are replayed and not kept, which makes a batch dear; how much of a lone step it is, is measured in the same run by
the same student on batches that lie in memory. The bar is on CPU seconds: on several cores a thread makes batches while
the students take their steps, and the clock on the wall shows less of it.
"""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import torch
from contest import Contender, Outcome, Watch, contest
from figure import Figure, compared
from teachers import recipe, shipped

from teachercache.cache import open_cache
from teachercache.data import ViewPolicy, open_source
from teachercache.stages.student.fleet import BatchStream, train_fleet
from teachercache.stages.student.models.builders import StudentShape
from teachercache.stages.student.stream.batch import Batch
from teachercache.stages.student.stream.join import Join
from teachercache.stages.student.stream.stream import Stream
from teachercache.stages.student.trial.trial import Trial, needed_signals
from teachercache.stages.teacher.runner import build_cache

STUDENTS, BAR = 8, 1 / 0.75
_CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class Size:
    samples: int
    widths: tuple[int, ...]
    batch: int
    steps: int
    rounds: int


FULL = Size(samples=256, widths=(16, 32, 64), batch=64, steps=16, rounds=3)
TINY = Size(samples=48, widths=(4,), batch=8, steps=2, rounds=1)


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


def measure(tiny: bool, scratch: Path) -> list[Figure]:
    """The figures of this benchmark."""
    size = TINY if tiny else FULL
    bench = shipped(scratch, 4, 1, size.samples, keep_pixels=False)
    build_cache(bench.job(scratch / "cache", batch_size=256))
    cache, config = open_cache(scratch / "cache"), recipe()
    few = config.train.labelled and config.train.labelled.model_copy(update={"count": 4, "per_batch": size.batch // 2})
    asked = {"steps": size.steps, "batch_size": size.batch, "labelled": few, "workers": 0, "log_every": size.steps}
    train = config.train.model_copy(update=asked)
    student = next(one for one in config.students if one.use == "cnn")
    student = student.model_copy(update={"args": {**student.args, "widths": list(size.widths)}})
    trials = [Trial(student, "distilled", seed) for seed in range(STUDENTS)]
    join = Join(cache, open_source(bench.source), ViewPolicy(bench.views))
    stream = Stream(cache, join, train, needed_signals(trials), _CPU, False)
    remembered = _Remembered(stream, list(stream.batches(0, size.steps)))
    shape, numbers = StudentShape(len(cache.manifest.classes), bench.views.channels, bench.views.size), count()

    def runs(parts: Sequence[Sequence[Trial]], source: BatchStream) -> Contender:
        def run(watch: Watch) -> None:
            for part in parts:
                folder = scratch / f"students-{next(numbers)}"
                train_fleet(part, source, shape, folder, train, _CPU)
                shutil.rmtree(folder)

        return Contender(size.steps * sum(map(len, parts)), run)

    alone = [[trial] for trial in trials]
    outcome = contest(
        {
            "one stream": runs([trials], stream),
            "eight runs": runs(alone, stream),
            "alone": runs(alone[:1], stream),
            "alone, in memory": runs(alone[:1], remembered),
        },
        size.rounds,
        warm_up=False,
    )
    return _figures(outcome)


def _figures(outcome: Outcome) -> list[Figure]:
    """Speed as a multiple, and in words the share of the time that it is."""
    share = {
        clock: 1 - 1 / outcome.ratio("alone, in memory", "alone", clock).median  # type: ignore[arg-type]
        for clock in ("wall", "cpu")
    }
    fleet = 1 / outcome.ratio("one stream", "eight runs", "cpu").median
    said = f"data is {share['cpu']:.2f} of a lone step (cpu); the fleet takes {fleet:.2f} of the time (cpu)"
    return [
        compared("eight students on one stream", outcome, "one stream", "eight runs", "steps", BAR, "cpu", said),
        compared("one student, batches in memory", outcome, "alone, in memory", "alone", "steps"),
    ]
