"""What does not fit at once trains in a later wave on the stream read again, and ends equal."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from teachercache.stages.errors import Interrupted, StageError
from teachercache.stages.student.fleet import FleetProgress, train_fleet
from teachercache.stages.student.trial import learner
from teachercache.stages.student.trial.trial import plan_trials

CPU = torch.device("cpu")
Train = Callable[..., Any]


@pytest.fixture
def train(memory: ModuleType, tmp_path: Path) -> Train:
    """train(folder, names, stream=None, progress=..., stop=..., **settings): results of linear trials."""

    def run(folder: str, names: str, stream: Any = None, **settings: Any) -> Any:
        hooks = {key: settings.pop(key) for key in ("progress", "stop") if key in settings}
        spec = memory.make_train(steps=6, **settings)
        students = [memory.make_student(name, args={"widths": [4], "dropout": 0.3}) for name in names]
        trials, stream = plan_trials(students, spec), stream or memory.MemoryStream(spec)
        return train_fleet(trials, stream, memory.SHAPE, tmp_path / folder, spec, CPU, **hooks)

    return run


def weights(results: Any) -> list[bytes]:
    assert [result.status for result in results] == ["finished"] * len(results)
    return [(result.folder / "student.safetensors").read_bytes() for result in results]


def test_waves_end_equal_to_all_at_once(train: Train) -> None:
    seen: list[FleetProgress] = []
    together, waves = train("together", "abc"), train("waves", "abc", at_once=2, progress=seen.append)
    assert weights(together) == weights(waves)
    assert [(len(state.training), state.waiting) for state in seen] == [(2, 1)] * 5 + [(0, 1)] + [(1, 0)] * 5 + [(0, 0)]


def test_waves_continue_where_they_were_stopped(train: Train) -> None:
    for batches in (3, 5, 2):
        left = iter([False] * (batches - 1) + [True])
        with pytest.raises(Interrupted):
            train("stopped", "abc", at_once=1, stop=left.__next__)
    assert weights(train("stopped", "abc", at_once=3)) == weights(train("undisturbed", "abc"))


def test_a_wrong_trial_of_a_later_wave_is_refused_before_the_first_step(memory: ModuleType, tmp_path: Path) -> None:
    spec = memory.make_train(at_once=1)
    wrong = memory.make_student("wrong", objective=({"loss": "kl", "signal": "logit"},))
    seen: list[FleetProgress] = []
    with pytest.raises(StageError, match="did you mean 'logits'"):
        trials = plan_trials([memory.make_student(), wrong], spec)
        train_fleet(trials, memory.MemoryStream(spec), memory.SHAPE, tmp_path, spec, CPU, progress=seen.append)
    assert seen == []


@pytest.mark.parametrize("when", ["begin", "step"])
def test_a_trial_without_memory_waits_until_others_have_ended(
    train: Train, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """Two trials fit: a third that begins, or takes a step, beside two others finds no memory."""
    expected = weights(train("together", "abc"))
    living: set[str] = set()
    begin, advance = learner.Learner.__init__, learner.Learner.advance

    def limited(self: Any, trial: Any, *rest: Any) -> None:
        living.add(trial.name)
        if when == "begin" and len(living) > 2:
            living.remove(trial.name)
            raise torch.OutOfMemoryError("CUDA out of memory")
        begin(self, trial, *rest)

    def step(self: Any, *batch: Any) -> None:
        if len(living) > 2 and self.step == 4:
            living.remove(self.trial.name)
            raise torch.OutOfMemoryError("CUDA out of memory")
        advance(self, *batch)
        if self.step == 6:
            living.discard(self.trial.name)

    monkeypatch.setattr(learner.Learner, "__init__", limited)
    monkeypatch.setattr(learner.Learner, "advance", step)
    found = train("limited", "abc")
    assert weights(found) == expected
    assert not any((result.folder / "failed.json").exists() for result in found)
