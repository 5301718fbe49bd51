"""A small honest stream in memory: images with labels, and signals that a fixed linear teacher gives for them.

Run as a script it trains a fleet from it: `python memory_stream.py FOLDER [SECONDS ...]`. For each number it forks a
process that trains, and kills it -9 after so many seconds; at the end one process trains undisturbed until it is done.
"""

import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from teachercache.cache import SignalSchema, SparseLogits
from teachercache.stages.student.fleet import train_fleet
from teachercache.stages.student.inputs.labels import LabelShape
from teachercache.stages.student.inputs.shape import InputShape
from teachercache.stages.student.models.builders import StudentShape
from teachercache.stages.student.objective.sample_weight import sureness
from teachercache.stages.student.objective.spec import SampleWeightSpec
from teachercache.stages.student.ranks.division import WHOLE, Division
from teachercache.stages.student.spec import InputSource, StudentSpec, TrainSpec
from teachercache.stages.student.stream.batch import Batch, WholeBatch
from teachercache.stages.student.trial.rows import target_rows
from teachercache.stages.student.trial.trial import plan_trials

CLASSES, SIDE, WIDTH, ROWS = 5, 12, 6, 96
SHAPE = StudentShape(CLASSES, 1, SIDE)


class MemoryStream:
    """Batch t is drawn from (seed, t). `labelled` hides the labels of all rows but the first of each batch. With a
    `division` each batch is that part of it."""

    def __init__(
        self, train: TrainSpec, shuffled: bool = True, labels: bool = True, division: Division = WHOLE
    ) -> None:
        self._division = division
        draw = np.random.default_rng(7)
        self.labels = draw.integers(0, CLASSES, ROWS)
        patterns = draw.integers(0, 256, (CLASSES, SIDE, SIDE, 1))
        noise = draw.integers(-60, 60, (ROWS, SIDE, SIDE, 1))
        self.images = np.clip(patterns[self.labels] + noise, 0, 255).astype(np.uint8)
        flat = torch.from_numpy(self.images.reshape(ROWS, -1) / 255 - 0.5).float()
        weights = torch.from_numpy(draw.normal(size=(SIDE * SIDE, WIDTH))).float() / SIDE
        embedding = flat @ weights
        head = torch.from_numpy(draw.normal(size=(WIDTH, CLASSES))).float() * 2
        attention = torch.from_numpy(draw.normal(size=(ROWS, 2, 10, 10))).float().softmax(-1)
        self.values = {"logits": embedding @ head, "embedding": embedding, "attention.0": attention}
        self._train, self._shuffled, self._has_labels = train, shuffled, labels
        self.fields: dict[str, LabelShape] = {}
        self.cache_fingerprint: dict[str, Any] = {"teacher": {"sha256": "aa"}, "views": {"count": 1}}

    kept = None

    @property
    def signals(self) -> dict[str, SignalSchema]:
        return {name: SignalSchema(name, "f32", {}, tuple(values.shape[1:])) for name, values in self.values.items()}

    def input_shapes(self, takes: Mapping[str, InputSource]) -> dict[str, InputShape]:
        return {}

    samples, views = ROWS, 1

    def sureness(self, measure: SampleWeightSpec) -> np.ndarray:
        assert measure.signals is not None
        return sureness(measure, [self.values[name] for name in measure.signals]).double().numpy()

    def require_labels(self) -> None:
        assert self._has_labels

    def batches(self, start: int, stop: int) -> Iterator[Batch]:
        for step in range(start, stop):
            yield self._part(self._batch(step))

    def _part(self, batch: Batch) -> Batch:
        if self._division.size == 1:
            return batch
        places = self._division.places(len(batch.rows), batch.labelled)
        own = torch.from_numpy(places)
        assert batch.views is not None
        return replace(
            batch,
            rows=batch.rows[places],
            views=batch.views[own],
            labels=batch.labels[own],
            labelled=int((places < batch.labelled).sum()),
            signals={name: target_rows(values, own) for name, values in batch.signals.items()},
            shuffled={name: target_rows(values, own) for name, values in batch.shuffled.items()},
            whole=WholeBatch(batch.rows, batch.labelled, places, batch.labels),
        )

    def _batch(self, step: int) -> Batch:
        train = self._train
        rows = np.random.default_rng((train.shuffle_seed, step)).choice(ROWS, train.batch_size, replace=False)
        labels = torch.from_numpy(self.labels[rows])
        labelled = train.batch_size
        if train.labelled is not None:
            labelled = train.labelled.per_batch
            labels[labelled:] = -1
        other = (rows + ROWS // 2) % ROWS
        return Batch(
            step,
            rows,
            torch.from_numpy(self.images[rows]),
            labels,
            labelled,
            self._signals(rows),
            self._signals(other) if self._shuffled else {},
            lambda rows: rows.astype(str),
        )

    def _signals(self, rows: np.ndarray) -> Mapping[str, Tensor | SparseLogits]:
        return {name: values[torch.from_numpy(rows)] for name, values in self.values.items()}


def make_train(**changes: Any) -> TrainSpec:
    settings: dict[str, Any] = dict(steps=12, batch_size=16, seeds=(0,), checkpoint_every=3, log_every=2)
    return TrainSpec(**(settings | changes))


def make_student(name: str = "small", **changes: Any) -> StudentSpec:
    """A cnn that learns from labels, logits and, through a projector, the embedding; with dropout."""
    objective = (
        {"loss": "cross_entropy", "weight": 0.5},
        {"loss": "kl", "signal": "logits", "temperature": 2.0},
        {"loss": "mse", "output": "embedding", "signal": "embedding", "projector": "linear"},
    )
    settings: dict[str, Any] = dict(use="cnn", args={"widths": [4, 8], "dropout": 0.3}, objective=objective)
    return StudentSpec(name=name, **(settings | changes))


def train_job(folder: Path, steps: int = 60) -> None:
    train = make_train(steps=steps, checkpoint_every=4, seeds=(0, 1), controls=("labels-only", "shuffled-cache"))
    train_fleet(plan_trials([make_student()], train), MemoryStream(train), SHAPE, folder, train, torch.device("cpu"))


def _train_and_die(folder: Path, seconds: float | None) -> bool:
    """Train in a process of its own; True when it came to its end."""
    child = os.fork()
    if child == 0:
        train_job(folder)
        os._exit(0)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1] == 0


if __name__ == "__main__":
    torch.set_num_threads(1)
    ends = [_train_and_die(Path(sys.argv[1]), float(seconds)) for seconds in sys.argv[2:]]
    started = time.perf_counter()
    assert _train_and_die(Path(sys.argv[1]), None)
    print(ends.count(False), "killed; the last one took", time.perf_counter() - started)
