"""Waves on a GPU take the trials that fit by their budgets or by what they took; one that takes too much fails."""

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from teachercache.stages.student import fleet
from teachercache.stages.student.fleet import FleetProgress, train_fleet
from teachercache.stages.student.memory import footprint
from teachercache.stages.student.memory.fitting import fitting
from teachercache.stages.student.memory.footprint import Footprint, OverBudget
from teachercache.stages.student.trial.trial import plan_trials

CPU, GB = torch.device("cpu"), 1_000_000_000


@pytest.mark.parametrize(
    ("needs", "room", "at_once", "chosen"),
    [
        ([4, 4, 4], 8, 9, [0, 1]),
        ([4, 5, 4, 1], 8, 9, [0, 2]),  # what does not fit waits, what comes behind it may fit
        ([9, 1, 1], 8, 9, [0]),  # the first goes, and alone where it fills all
        ([4, None, 4, None], 8, 9, [0, 1, 2, 3]),  # what nobody knows is tried
        ([4, 4, 4], None, 9, [0, 1, 2]),
        ([1, 1, 1], 8, 2, [0, 1]),
        ([None, None], 0, 1, [0]),
        ([], 8, 3, []),
    ],
)
def test_a_wave_takes_what_fits_in_the_order_of_the_trials(
    needs: list[int | None], room: int | None, at_once: int, chosen: list[int]
) -> None:
    assert fitting(needs, room, at_once) == chosen


class Figures:
    """The meter of a GPU that says what it is told: each look is the next figure."""

    def __init__(self, *figures: int) -> None:
        self._figures = iter(figures)

    def allocated(self) -> int:
        return next(self._figures)

    def peak(self) -> int:
        return next(self._figures)

    def reset(self) -> None:
        pass


def test_a_trial_takes_what_it_holds_and_the_most_of_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    built = (10, 15, 14)  # before, at most, after: it holds 4
    first, second = (30, 50, 33), (40, 60, 40)  # it holds 7; and 7 + 20 in the second step
    monkeypatch.setattr(footprint, "meter_of", lambda device: Figures(*built, *first, *second))
    one = Footprint(CPU, "big", None)
    with one.begun():
        pass
    assert one.most == 5
    for most in (24, 27):
        with one.step():
            pass
        assert one.most == most


def test_what_takes_more_than_its_budget_is_told_both_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(footprint, "meter_of", lambda device: Figures(0, 3 * GB, 0))
    with (
        pytest.raises(OverBudget, match=r"3 GB of the GPU, and students.big.memory is 2.5"),
        Footprint(CPU, "big", 2.5).step(),
    ):
        pass


def test_a_fleet_on_a_small_gpu_trains_in_waves_and_drops_who_takes_too_much(
    memory: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Room for 8 GB: of three trials of 3 GB two go first, and beside them one of 1 GB, which takes 2."""
    train = memory.make_train(steps=3, log_every=1)
    budgets: dict[str, Any] = {"a": 3, "b": 3, "c": 3, "liar": 1}
    students = [memory.make_student(name, args={"widths": [4]}, memory=budget) for name, budget in budgets.items()]
    seen: list[FleetProgress] = []
    monkeypatch.setattr(fleet, "room_of", lambda device: 8 * GB)
    monkeypatch.setattr(footprint, "meter_of", lambda device: _Steady(2 * GB))
    found = train_fleet(
        plan_trials(students, train),
        memory.MemoryStream(train),
        memory.SHAPE,
        tmp_path,
        train,
        CPU,
        progress=seen.append,
    )
    assert [one.status for one in found] == ["finished", "finished", "finished", "failed"]
    assert found[3].reason == "it took 2 GB of the GPU, and students.liar.memory is 1; raise it, or let " + (
        "optimizer.micro_batch be smaller"
    )
    assert (len(seen[0].training), seen[0].waiting) == (2, 1)
    more = [*students[:3], memory.make_student("liar", args={"widths": [4]}, memory=2.5)]
    again = train_fleet(plan_trials(more, train), memory.MemoryStream(train), memory.SHAPE, tmp_path, train, CPU)
    assert [one.status for one in again] == ["finished"] * 4


def test_what_trials_of_a_student_took_says_how_many_go_next(
    memory: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = memory.make_train(steps=2, seeds=(0, 1, 2, 3), at_once=2)
    trials = plan_trials([memory.make_student(args={"widths": [4]})], train)
    seen: list[FleetProgress] = []
    monkeypatch.setattr(fleet, "room_of", lambda device: 3 * GB)
    monkeypatch.setattr(footprint, "meter_of", lambda device: _Steady(2 * GB))
    stream = memory.MemoryStream(train)
    train_fleet(trials, stream, memory.SHAPE, tmp_path, train, CPU, progress=seen.append)
    assert [state.waiting for state in seen] == [2, 2, 1, 1, 0, 0]  # two, of whom nobody knew; then one by one


class _Steady:
    """Every step takes as much, and gives it back."""

    def __init__(self, step: int) -> None:
        self._step = step

    def allocated(self) -> int:
        return 0

    def peak(self) -> int:
        return self._step

    def reset(self) -> None:
        pass


@pytest.mark.gpu
def test_what_a_trial_took_is_measured_and_kept_to_its_budget(memory: ModuleType, tmp_path: Path) -> None:
    from teachercache.stages.gpu_sharing.claim import peak_bytes

    cuda, train = torch.device("cuda"), memory.make_train(steps=3)
    one = Footprint(cuda, "big", 0.01)
    with one.begun():
        held = torch.zeros(1 << 20, device=cuda)
    with pytest.raises(OverBudget), one.step():
        torch.zeros(1 << 24, device=cuda)
    assert 4 * ((1 << 20) + (1 << 24)) <= one.most < 4 * ((1 << 20) + (1 << 24)) + (1 << 22)
    assert (peak_bytes(cuda) or 0) >= one.most and held.is_cuda and train.steps == 3
