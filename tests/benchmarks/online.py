"""Training from the cache beside training with the teacher online: is the student as good, and how much faster is it?

Online the teacher hears the views of each batch and its signals go to the loss as they are; from the cache come the
same signals through the codecs of the shipped recipe. Views, batches, seeds and first weights are equal. What a step
with a teacher should take follows from the cost ledger: a step from the cache and the teacher's time for the rows of a
batch. The judged prediction is in CPU time, of passes as large as the build's; the ledger's own are on the wall.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from contest import Contender, Outcome, Ratio, Watch, contest
from figure import Figure
from held_out import held_out_images, within
from sparse_cost import recipe_train
from teachers import Bench, recipe, shipped
from torch import Tensor
from training import clock

from teachercache.cache import SignalSchema, open_cache
from teachercache.data import ViewPolicy, open_source
from teachercache.stages.student.fleet import BatchStream, train_fleet
from teachercache.stages.student.models.builders import StudentShape
from teachercache.stages.student.stream.batch import Batch
from teachercache.stages.student.stream.join import Join
from teachercache.stages.student.stream.stream import Stream
from teachercache.stages.student.trial.trial import Trial, needed_signals, plan_trials
from teachercache.stages.teacher.families.family import open_teacher
from teachercache.stages.teacher.inputs.preprocessing import Preprocessor
from teachercache.stages.teacher.runner import build_cache

ALLOWED, PREDICTED = 0.3, 0.1  # points; share of the ratio
_CPU = torch.device("cpu")
_PASS = 256  # rows of a pass of the build


@dataclass(frozen=True, slots=True)
class Size:
    shards: int
    samples: int | None  # of one shard; None for all
    views: int
    labelled: int
    batch: int
    steps: int
    seeds: int
    timed: int  # steps of a round
    rounds: int


FULL = Size(shards=3, samples=None, views=4, labelled=300, batch=96, steps=300, seeds=5, timed=32, rounds=5)
TINY = Size(shards=1, samples=40, views=1, labelled=4, batch=8, steps=2, seeds=2, timed=4, rounds=1)


def measure(tiny: bool, scratch: Path) -> list[Figure]:
    """The figures of this benchmark."""
    size = TINY if tiny else FULL
    both = _Both(size, scratch)
    names = [student.name for student in recipe().students]
    return [*both.equal(names[:1]), *(figure for name in names for figure in both.faster(name))]


@dataclass(frozen=True, slots=True)
class _TeacherOnline:
    """A stream whose signals the teacher says when a batch is asked for."""

    stream: BatchStream
    hear: Callable[[Tensor], Mapping[str, Tensor]]

    def __getattr__(self, name: str) -> Any:
        """All else is the stream's."""
        return getattr(self.stream, name)

    @property
    def signals(self) -> Mapping[str, SignalSchema]:
        """Raw ones."""
        kept = self.stream.signals.items()
        return {name: replace(schema, codec="f32", parameters={}) for name, schema in kept}

    def batches(self, start: int, stop: int) -> Iterator[Batch]:
        for batch in self.stream.batches(start, stop):
            assert batch.views is not None
            yield replace(batch, signals=self.hear(batch.views))


class _Both:
    """One cache of the shipped recipe, and its teacher, loaded."""

    def __init__(self, size: Size, scratch: Path) -> None:
        self._size, self._scratch, self._numbers = size, scratch, count()
        self._bench: Bench = shipped(scratch, size.views, size.shards, size.samples)
        job = self._bench.job(scratch / "cache", batch_size=_PASS)
        build_cache(job)
        self._cache = open_cache(scratch / "cache")
        raw = {name: spec.model_copy(update={"codec": "f32", "k": None}) for name, spec in job.signals.items()}
        self._teacher = open_teacher(job.teacher, job.folder, raw, _CPU)
        self._prepare = Preprocessor(job.folder, self._bench.views.size, self._bench.views.channels)

    def equal(self, names: list[str]) -> list[Figure]:
        """Top-1 of some of the recipe's students, trained in both ways."""
        images, size = held_out_images(), self._size
        students = [student for student in recipe().students if student.name in names]
        trials = plan_trials(students, recipe_train(size.steps, size.batch, size.labelled, size.seeds))
        top1: dict[str, dict[str, dict[int, float]]] = {}
        for way in ("cached", "online"):
            folder = self._scratch / way
            self._train(way, trials, size.steps, folder, lambda _: None)
            top1[way] = {name: {} for name in names}
            for trial in trials:
                top1[way][trial.student.name][trial.seed] = images.top1(trial.folder(folder))
        return [
            within(f"{name} from the cache: top-1", "online", top1["cached"][name], top1["online"][name], ALLOWED)
            for name in names
        ]

    def faster(self, name: str) -> list[Figure]:
        """A lone student's steps in both ways, beside what the ledger says of them."""
        student = next(one for one in recipe().students if one.name == name)
        trials, timed = (Trial(student, "distilled", 0),), self._size.timed
        contenders = {
            way: Contender(timed - 2, lambda watch, way=way: self._timed(way, trials, watch))
            for way in ("cached", "online")
        }
        contenders["teacher"] = Contender(_PASS, self._pass)
        outcome = contest(contenders, self._size.rounds)
        receipts = self._cache.receipts.values()
        row = sum(float(one.cost["teacher_seconds"]) for one in receipts) / self._cache.rows
        passes = outcome.seconds["teacher"]
        return [
            _prediction(f"{name}: a step with the teacher, by its passes", outcome, passes[:, 1], self._size.batch, 1),
            _prediction(f"{name}: the same, by the ledger", outcome, np.full(len(passes), row), self._size.batch, 0),
        ]

    def _timed(self, way: str, trials: tuple[Trial, ...], watch: Watch) -> None:
        folder = self._scratch / f"timed-{next(self._numbers)}"
        self._train(way, trials, self._size.timed, folder, clock(watch))
        shutil.rmtree(folder)

    def _train(self, way: str, trials: tuple[Trial, ...], steps: int, folder: Path, progress: Any) -> None:
        train = recipe_train(steps, self._size.batch, self._size.labelled, self._size.seeds)
        join = Join(self._cache, open_source(self._bench.source), ViewPolicy(self._bench.views))
        signals = needed_signals(trials) if way == "cached" else ()
        stream: BatchStream = Stream(self._cache, join, train, signals, _CPU, False)
        shape = StudentShape(len(self._cache.manifest.classes), self._bench.views.channels, self._bench.views.size)
        fed = stream if way == "cached" else _TeacherOnline(stream, self._hear)
        for result in train_fleet(trials, fed, shape, folder, train, _CPU, progress=progress):
            if result.status == "failed":
                raise RuntimeError(f"{result.trial.name} failed, so nothing can be compared: {result.reason}")

    def _hear(self, views: Tensor) -> dict[str, Tensor]:
        heard = self._teacher(self._prepare(views.numpy()))
        return {name: values.clone() for name, values in heard.items() if isinstance(values, Tensor)}

    def _pass(self, watch: Watch) -> None:
        side, channels = self._bench.views.size, self._bench.views.channels
        inputs = self._prepare(np.zeros((_PASS, side, side, channels), np.uint8))
        watch.start()
        self._teacher(inputs)


def _prediction(what: str, outcome: Outcome, row: np.ndarray, batch: int, clock_number: int) -> Figure:
    """How many times as long a step takes with the teacher, over what (cached step + rows x teacher) says; by CPU
    time (clock 1), which is judged, or on the wall (clock 0)."""
    cached, online = (outcome.seconds[way][:, clock_number] for way in ("cached", "online"))
    measured, predicted = online / cached, 1 + row * batch / cached
    of = measured / predicted
    found = Ratio(float(np.median(of)), float(of.min()), float(of.max()))
    judged = clock_number == 1
    return Figure(
        what,
        f"{np.median(measured):.2f} x as long",
        f"predicted: {np.median(predicted):.2f} x",
        found.median,
        wall=None if judged else found,
        cpu=found if judged else None,
        bar=f"within {PREDICTED:.0%} cpu" if judged else "",
        reached=abs(found.median - 1) <= PREDICTED if judged else None,
    )
