"""Optuna leads a sweep: what it chooses depends on the seed and on what was told, however often the run was killed."""

import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from teachercache.stages.errors import Interrupted, StageError
from teachercache.stages.student.fleet import train_fleet
from teachercache.stages.student.sweep.expansion import expand_sweeps, numbered
from teachercache.stages.student.sweep.spec import SweepSpec
from teachercache.stages.student.sweep.study import SweepStudy
from teachercache.stages.student.sweep.study_rungs import StudyRungs
from teachercache.stages.student.trial.trial import plan_trials

pytest.importorskip("optuna", reason="Optuna is not installed; `pip install 'teachercache[sweep]'`")
CPU = torch.device("cpu")
RATES = {"optimizer.lr": {"low": 1e-7, "high": 1e-1, "log": True}, "args.widths": [[2], [4]]}


class Led:
    """A sweep led in a folder."""

    def __init__(self, memory: ModuleType, folder: Path, **given: Any) -> None:
        self.memory, self.folder = memory, folder
        self.train = memory.make_train(steps=8, **given.pop("train", {}))
        study = {"by": "kl:logits", "together": 2, "sampler_args": {"n_startup_trials": 2}} | given.pop("study", {})
        sweep = {"kind": "optuna", "trials": 4, "parameters": RATES, "study": study} | given
        (self.student,) = expand_sweeps([memory.make_student("cnn", args={"widths": [4]}, sweep=sweep)])

    def study(self) -> SweepStudy:
        return SweepStudy(self.student, self.folder / "studies/cnn", self.train)

    def round(self, stop: Callable[[], bool] = lambda: False) -> Any:
        """One round: its results, () when none is left."""
        study = self.study()
        with ExitStack() as held:
            numbers = study.take_round(held)
            chosen = study.chosen()
            students = [numbered(self.student, n + 1, chosen[n]) for n in numbers]
            trials, rungs = plan_trials(students, self.train), StudyRungs([study], self.train)
            stream = self.memory.MemoryStream(self.train)
            try:
                return train_fleet(
                    trials, stream, self.memory.SHAPE, self.folder, self.train, CPU, stop=stop, rungs=rungs
                )
            finally:
                study.tell(trials, self.folder, numbers)

    def whole(self) -> list[Any]:
        results = []
        while found := self.round():
            results += found
        return results


@pytest.fixture
def led(memory: ModuleType, tmp_path: Path) -> Callable[..., Led]:
    return lambda folder, **given: Led(memory, tmp_path / folder, **given)


def ends(results: Any) -> list[tuple[str, str, int, Any]]:
    return [(one.trial.name, one.status, one.step, one.trial.student.swept) for one in results]


def test_a_study_that_is_cut_anywhere_chooses_and_ends_the_same(led: Callable[..., Led]) -> None:
    expected = led("undisturbed").whole()
    assert len(expected) == 4 and len({str(one.trial.student.swept) for one in expected}) == 4
    cut = led("cut")
    for batches in (3, 6):  # within the first round, the second
        left = iter([False] * (batches - 1) + [True])
        with pytest.raises(Interrupted):
            cut.round(left.__next__)
        cut.round()
    assert cut.whole() == []
    assert cut.study().chosen() == led("undisturbed").study().chosen()
    for one in expected:
        folder = cut.folder / one.trial.name
        assert (folder / "student.safetensors").read_bytes() == (one.folder / "student.safetensors").read_bytes()


def test_what_was_learnt_decides_what_is_chosen(led: Callable[..., Led]) -> None:
    led("a").whole()
    assert led("a").study().chosen() != led("b", study={"sampler": "random", "sampler_args": {}}).study().chosen()
    first = led("unbegun").study()
    begun = led("a").study().chosen()
    assert first.chosen() == {number: begun[number] for number in (0, 1)}
    assert not first.folder.exists()
    assert led("seed", seed=1).study().chosen() != first.chosen()


def test_another_process_takes_another_round(led: Callable[..., Led]) -> None:
    with ExitStack() as held, ExitStack() as other:
        assert led("a").study().take_round(held) == (0, 1)
        assert led("a").study().take_round(other) == (2, 3)
        held.close()
        with ExitStack() as third:
            assert led("a").study().take_round(third) == (0, 1)


def test_a_chooser_that_was_killed_is_completed_and_later_rounds_stay(led: Callable[..., Led]) -> None:
    whole = led("whole")
    with ExitStack() as held:
        whole.study().take_round(held)
    journal = (whole.folder / "studies/cnn/journal.log").read_text().splitlines(keepends=True)
    for kept in range(3, len(journal)):
        part = led(f"part-{kept}")
        (part.folder / "studies/cnn").mkdir(parents=True)
        (part.folder / "studies/cnn/journal.log").write_text("".join(journal[:kept]))
        with ExitStack() as held:
            assert part.study().take_round(held) == (0, 1)
        assert part.study().chosen() == whole.study().chosen()


def test_a_pruner_gives_trials_up_at_rungs_and_decides_once(led: Callable[..., Led]) -> None:
    pruner = {"pruner": "median", "pruner_args": {"n_startup_trials": 1}, "rungs": [0.5]}
    results = led("pruned", study=pruner, trials=6).whole()
    stopped = [one for one in results if one.status == "stopped"]
    assert stopped and all(one.step == 4 for one in stopped)
    assert not any(one.trial.student.name in ("cnn-01", "cnn-02") for one in stopped)
    assert (
        "given up by the pruner median at step 4: kl:logits"
        in json.loads((stopped[0].folder / "stopped.json").read_text())["reason"]
    )
    cut = led("cut", study=pruner, trials=6)
    for batches in (3, 5, 3):
        left = iter([False] * (batches - 1) + [True])
        with pytest.raises(Interrupted):
            cut.round(left.__next__)
        cut.round()
    for one in results:
        assert (cut.folder / one.trial.name / "stopped.json").exists() == (one.status == "stopped")
    assert cut.study().chosen() == led("pruned", study=pruner, trials=6).study().chosen()


def test_other_settings_do_not_continue_a_study_and_more_trials_do(led: Callable[..., Led]) -> None:
    with ExitStack() as held:
        led("a").study().take_round(held)
    with pytest.raises(StageError, match=r"begun with other settings of students\.cnn\.sweep \(study\)"):
        led("a", study={"together": 3}).study().chosen()
    with pytest.raises(StageError, match=r"\(seed\)"):
        led("a", seed=3).study().chosen()
    assert len(led("a", trials=60).study().chosen()) == 2


@pytest.mark.parametrize(
    ("study", "said"),
    [
        (
            {"sampler_args": {"n_startup": 3}},
            r"sampler_args: it has no argument 'n_startup'; did you mean n_startup_tr",
        ),
        ({"sampler_args": {"multivariate": False, "group": True}}, "cnn.sweep.study"),
        ({"pruner": "percentile", "rungs": [0.5]}, r"study\.pruner: .*percentile"),
        ({"pruner": "median", "pruner_args": {"steps": 1}, "rungs": [0.5]}, "pruner_args: it has no argument 'steps'"),
    ],
)
def test_wrong_arguments_of_samplers_and_pruners_are_refused(
    led: Callable[..., Led], study: dict[str, Any], said: str
) -> None:
    with pytest.raises(StageError, match=said):
        led("a", study=study).study().chosen()


@pytest.mark.parametrize(
    ("sweep", "said"),
    [
        ({"kind": "optuna"}, "optuna needs trials"),
        ({"kind": "random", "trials": 2, "study": {}}, "this is for kind: optuna, not random"),
        ({"kind": "optuna", "trials": 2, "study": {"pruner": "median"}}, "a pruner needs rungs"),
        ({"kind": "optuna", "trials": 2, "study": {"sampler_args": {"seed": 1}}}, "this is the sweep's `seed`"),
        ({"kind": "optuna", "trials": 2, "study": {"sampler": "tep"}}, "Input should be 'tpe', 'random'"),
    ],
)
def test_settings_of_a_study_that_make_no_sense_are_refused(sweep: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        SweepSpec(parameters={"optimizer.lr": (1e-3,)}, **sweep)


def test_a_value_that_cannot_be_chosen_is_refused_before_anything_starts(memory: ModuleType) -> None:
    sweep = {"kind": "optuna", "trials": 2, "parameters": {"optimizer.lr": {"low": -1, "high": 1}}}
    with pytest.raises(ValueError, match=r"sweep: trial 1 \(optimizer.lr -1.0\) is not valid: optimizer.lr"):
        expand_sweeps([memory.make_student("cnn", sweep=sweep)])


def test_without_optuna_the_extra_is_named(led: Callable[..., Led], monkeypatch: pytest.MonkeyPatch) -> None:
    from teachercache.stages.student.sweep import study

    monkeypatch.setattr(study, "find_spec", lambda name: None)
    with pytest.raises(StageError, match=r"pip install 'teachercache\[sweep\]'"):
        led("a").study()
