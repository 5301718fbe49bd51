"""Rows a second of `build_cache` beside the bare forward pass of the same teacher over the same prepared batches.

The bare pass has everything in memory: `model(**inputs)` under inference_mode with transformers' default attention, no
point heard, nothing copied or kept. The clock of a build starts when its first batch has been handed to the writer, so
starting workers and loading the model do not count, and stops when the last receipt is published; the bare pass leaves
out the first batch too. What lies between the two is measured step by step on the batches in memory.
"""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import torch
from contest import Contender, Watch, contest
from figure import Figure, compared
from teachers import Bench, heavy, shipped

from teachercache.cache import create_cache, open_cache
from teachercache.stages.teacher.families.image_classifier import ImageClassifier
from teachercache.stages.teacher.families.loading import load_pretrained
from teachercache.stages.teacher.inputs.batch import PreparedBatch
from teachercache.stages.teacher.inputs.images import ImageInputs
from teachercache.stages.teacher.inputs.loader import PreparedPieces, plan_pieces
from teachercache.stages.teacher.inputs.preprocessing import Preprocessor
from teachercache.stages.teacher.job import CacheJob
from teachercache.stages.teacher.runner import build_cache
from teachercache.stages.teacher.signals.encoding import EncodedBatch, clock, encode_batch
from teachercache.stages.teacher.sink import ShardSink

BAR = 0.93
_CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class Size:
    shards: int  # of the shipped source, 480 samples each
    samples: int | None  # of one shard of it; None for all
    views: int
    batch: int
    images: int  # of the heavy teacher
    side: int
    hidden: int
    layers: int
    heavy_batch: int
    rounds: int


FULL = Size(2, None, 4, 128, images=56, side=224, hidden=384, layers=6, heavy_batch=8, rounds=3)
TINY = Size(1, 24, 2, 16, images=6, side=32, hidden=64, layers=2, heavy_batch=2, rounds=1)


def measure(tiny: bool, scratch: Path) -> list[Figure]:
    """The figures of this benchmark."""
    size = TINY if tiny else FULL
    light = _Building(shipped(scratch, size.views, size.shards, size.samples), scratch / "light", size.batch)
    figures = light.figures((1, 0, 2), size.rounds)
    with _threads(1):
        figures += light.figures((1,), size.rounds, ", one thread")
    large = _Building(
        heavy(scratch, size.images, size.side, size.hidden, size.layers), scratch / "heavy", size.heavy_batch
    )
    return figures + large.figures((1,), size.rounds)


class _Building:
    """One teacher and its batches, prepared once and kept in memory."""

    def __init__(self, bench: Bench, scratch: Path, batch_size: int) -> None:
        self._bench, self._scratch, self._numbers = bench, scratch, count()
        self._batch_size = batch_size
        job = self._job(0)
        pieces = plan_pieces(job.source, job.source.shards(), max(1, batch_size // job.policy.count))
        prepare = ImageInputs(Preprocessor(job.folder, job.policy.size, job.policy.channels))
        prepared = PreparedPieces(job.source, job.policy, prepare, pieces, job.keep_pixels)
        self._batches = [prepared[i] for i in range(len(prepared))]
        self._rows = sum(batch.rows for batch in self._batches[1:])
        build_cache(job)
        self._manifest = open_cache(job.root).manifest
        self._model = load_pretrained("AutoModelForImageClassification", job.teacher, job.folder, _CPU)

    def figures(self, workers: Sequence[int], rounds: int, where: str = "") -> list[Figure]:
        """The build with each number of workers, and what lies between it and the bare pass."""
        about = f"{self._bench.about}{where}"
        job = self._job(0)
        self._teacher = ImageClassifier(job.teacher, job.folder, job.signals, _CPU)
        try:
            contenders = {"bare pass": self._over_batches(self._pass), "heard": self._over_batches(self._hear)}
            contenders |= {"encoded": self._over_batches(self._encode), "written": self._writing()}
            contenders |= {f"{n} workers": self._building(n) for n in workers}
            outcome = contest(contenders, rounds, warm_up=False)
        finally:
            self._teacher.close()
        builds = [
            compared(f"{about}: build, {n} workers", outcome, f"{n} workers", "bare pass", "rows", BAR) for n in workers
        ]
        steps = {"heard": "heard", "encoded": "heard, encoded", "written": "heard, encoded, written"}
        return builds + [
            compared(f"{about}: {what}", outcome, name, "bare pass", "rows") for name, what in steps.items()
        ]

    def _pass(self, batch: PreparedBatch) -> None:
        with torch.inference_mode():
            self._model(**batch.inputs)

    def _hear(self, batch: PreparedBatch) -> dict[str, torch.Tensor]:
        return self._teacher(batch.inputs)

    def _encode(self, batch: PreparedBatch) -> EncodedBatch:
        started = clock(_CPU)
        return encode_batch(batch, self._hear(batch), self._manifest.signals, started, _CPU)

    def _over_batches(self, step: Callable[[PreparedBatch], object]) -> Contender:
        def run(watch: Watch) -> None:
            step(self._batches[0])
            watch.start()
            for batch in self._batches[1:]:
                step(batch)

        return Contender(self._rows, run)

    def _writing(self) -> Contender:
        def run(watch: Watch) -> None:
            job = self._job(0)
            with ShardSink(create_cache(job.root, self._manifest), job.source, {}) as sink:
                for number, batch in enumerate(self._batches):
                    sink.put(self._encode(batch), {})
                    if number == 0:
                        watch.start()
            watch.stop()
            shutil.rmtree(job.root)

        return Contender(self._rows, run)

    def _building(self, workers: int) -> Contender:
        def run(watch: Watch) -> None:
            job = self._job(workers)

            def progress(done: int, total: int) -> None:
                if done == self._batches[0].rows:
                    watch.start()

            build_cache(job, progress)
            watch.stop()
            shutil.rmtree(job.root)

        return Contender(self._rows, run)

    def _job(self, workers: int) -> CacheJob:
        root = self._scratch / f"built-{next(self._numbers)}"
        return self._bench.job(root, workers=workers, batch_size=self._batch_size)


class _threads:
    """Within it torch computes with so many threads."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __enter__(self) -> None:
        self._before = torch.get_num_threads()
        torch.set_num_threads(self._count)

    def __exit__(self, *_: object) -> None:
        torch.set_num_threads(self._before)
