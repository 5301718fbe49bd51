"""On a GPU every trial has a lane of its own: what they share is made before they read it, nothing is freed early."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from teachercache.stages.student.fleet import train_fleet
from teachercache.stages.student.inputs import columns
from teachercache.stages.student.inputs.columns import SharedInputs
from teachercache.stages.student.spec import InputSource, InputSpec
from teachercache.stages.student.stream.batch import Batch
from teachercache.stages.student.trial.lane import Lane, made_on, main_stream
from teachercache.stages.student.trial.trial import plan_trials

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


class Queue:
    """A CUDA stream as far as order goes: `past` is what is certain to be done before its next piece of work."""

    current: "Queue"
    device = CUDA

    def __init__(self, device: torch.device | None = None) -> None:
        self.past: set[str] = set()

    def wait_stream(self, other: "Queue") -> None:
        self.past |= other.past

    @contextmanager
    def as_current(self) -> Iterator[None]:
        before, Queue.current = Queue.current, self
        yield
        Queue.current = before


@pytest.fixture
def main(monkeypatch: pytest.MonkeyPatch) -> Queue:
    """The main stream, where torch's streams are queues of this file."""
    Queue.current = Queue()
    monkeypatch.setattr(torch.cuda, "Stream", Queue)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Queue.current)
    monkeypatch.setattr(torch.cuda, "stream", Queue.as_current)
    return Queue.current


def test_a_lane_begins_behind_the_batch_and_the_main_stream_goes_on_behind_all_lanes(main: Queue) -> None:
    lanes = [Lane(CUDA), Lane(CUDA)]
    main.past.add("batch 0")
    for number, lane in enumerate(lanes):
        with lane.work():
            assert Queue.current is not main and Queue.current.past == {"batch 0"}
            Queue.current.past.add(f"step of {number}")
    assert Queue.current is main and main.past == {"batch 0"}
    for lane in lanes:
        lane.join()
    assert main.past == {"batch 0", "step of 0", "step of 1"}


def test_who_reads_what_is_shared_waits_for_it_whoever_made_it(main: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Queue] = []

    def prepared(views: Tensor, spec: InputSpec) -> Tensor:
        made.append(Queue.current)
        Queue.current.past.add("pixels")
        return views

    monkeypatch.setattr(columns, "prepare_views", prepared)
    shared = SharedInputs(torch.zeros(4, 2, 2, 1), main=main_stream(CUDA))
    takes = {"pixel_values": InputSource(image=InputSpec())}
    for lane in (Lane(CUDA), Lane(CUDA)):
        with lane.work():
            Queue.current.past.discard("pixels")  # as if the lane had begun before the other asked
            shared.inputs(takes, 4)
            assert "pixels" in Queue.current.past
    assert made == [main]


def test_the_next_batch_waits_for_every_trial_those_that_failed_too(
    memory: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    join = Lane.join

    def joined(self: Lane) -> None:
        said.append("join")
        join(self)

    class Stream(memory.MemoryStream):  # type: ignore[name-defined, misc]
        def _batch(self, step: int) -> Batch:
            said.append("batch")
            batch: Batch = super()._batch(step)
            return batch

    monkeypatch.setattr(Lane, "join", joined)
    train = memory.make_train(steps=3)
    students = [memory.make_student(), memory.make_student("other", optimizer={"lr": 1e30, "clip": None})]
    train_fleet(plan_trials(students, train), Stream(train), memory.SHAPE, tmp_path, train, CPU)
    assert said[:3] == ["batch", "join", "join"] and said.count("batch") == 3 and said[-1] == "join"


def test_there_are_no_lanes_on_a_cpu() -> None:
    with Lane(CPU).work(), made_on(main_stream(CPU)):
        Lane(CPU).join()
    assert main_stream(CPU) is None


@pytest.mark.gpu
def test_trials_side_by_side_on_a_gpu_equal_the_same_trials_alone(
    memory: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    import ranked_fleet
    from safetensors.torch import load_file

    class Stream(ranked_fleet.DoubleStream):  # type: ignore[name-defined, misc]
        def batches(self, start: int, stop: int) -> Iterator[Batch]:
            for batch in super().batches(start, stop):
                yield _there(batch)

    train = memory.make_train(steps=40)
    students = [
        ranked_fleet.student(f"s{n}", optimizer={"lr": 0.01 / (n + 1)}, args={"dropout": 0.2}) for n in range(6)
    ]
    trials = plan_trials(students, train)
    with ranked_fleet.float64():
        together = train_fleet(trials, Stream(train), memory.SHAPE, tmp_path / "together", train, CUDA)
        alone = [
            train_fleet([trial], Stream(train), memory.SHAPE, tmp_path / "alone", train, CUDA)[0] for trial in trials
        ]
    for one, other in zip(together, alone, strict=True):
        weights, expected = (load_file(found.folder / "student.safetensors") for found in (one, other))
        for name, values in expected.items():
            torch.testing.assert_close(weights[name], values, rtol=0, atol=1e-12)


def _there(batch: Batch) -> Batch:
    moved: dict[str, Any] = {
        name: {key: x.to(CUDA) for key, x in getattr(batch, name).items()} for name in ("signals", "shuffled")
    }
    assert batch.views is not None
    return replace(batch, views=batch.views.to(CUDA), labels=batch.labels.to(CUDA), **moved)
