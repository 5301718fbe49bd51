"""At a rung the weak trials of a sweep stop, the same ones however the run is cut, and the others end as ever."""

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from teachercache.stages.errors import Interrupted, StageError
from teachercache.stages.student.fleet import train_fleet
from teachercache.stages.student.sweep.expansion import expand_sweeps
from teachercache.stages.student.trial.trial import plan_trials

CPU = torch.device("cpu")
TERM = "kl:logits"


@pytest.fixture
def train(memory: ModuleType, tmp_path: Path) -> Callable[..., Any]:
    """train(folder, stop=..., halving=..., sweep=..., **train): a sweep of four rates, of which the least is worst."""

    def run(folder: str, **given: Any) -> Any:
        hooks = {key: given.pop(key) for key in ("stop",) if key in given}
        rates = given.pop("sweep", {"optimizer.lr": [1e-7, 1e-2, 3e-3, 1e-6]})
        given = {"halving": {"rungs": [0.25, 0.5], "by": TERM}, "steps": 24, "seeds": (0, 1)} | given
        spec = memory.make_train(**given)
        sweep = memory.make_student("cnn", args={"widths": [8]}, sweep={"parameters": rates})
        trials = plan_trials(expand_sweeps([sweep, memory.make_student("fixed", args={"widths": [4]})]), spec)
        return train_fleet(trials, memory.MemoryStream(spec), memory.SHAPE, tmp_path / folder, spec, CPU, **hooks)

    return run


def ends(results: Any) -> dict[str, tuple[str, int]]:
    return {result.trial.name: (result.status, result.step) for result in results}


def weights(results: Any) -> list[bytes]:
    return [(one.folder / "student.safetensors").read_bytes() for one in results if one.status == "finished"]


def test_weak_trials_stop_at_rungs_and_the_others_end_as_without(train: Callable[..., Any], tmp_path: Path) -> None:
    results, whole = train("halved"), train("whole", halving=None)
    by_student = {name.partition("/")[0]: end for name, end in ends(results).items()}
    assert by_student["cnn-01"] == by_student["cnn-04"] == ("stopped", 6)
    assert by_student["fixed"] == ("finished", 24)
    assert sorted((by_student["cnn-02"], by_student["cnn-03"])) == [("finished", 24), ("stopped", 12)]
    same = {one.trial.name: one for one in whole}
    assert weights(results) == weights([same[one.trial.name] for one in results if one.status == "finished"])
    noted = json.loads((tmp_path / "halved/cnn-01/distilled/seed-1/stopped.json").read_text())
    assert noted["rank"] in (3, 4) and noted["of"] == 4 and noted["step"] == 6
    assert not (tmp_path / "halved/cnn-01/distilled/seed-1/failed.json").exists()


def test_a_run_that_is_cut_anywhere_decides_the_same(train: Callable[..., Any]) -> None:
    expected = train("undisturbed")
    for batches in (4, 3, 2, 6):
        left = iter([False] * (batches - 1) + [True])
        with pytest.raises(Interrupted):
            train("cut", at_once=3, stop=left.__next__)
    found = train("cut", at_once=3)
    assert ends(found) == ends(expected) == ends(train("cut"))
    assert weights(found) == weights(expected)


def test_what_was_decided_is_obeyed_and_other_settings_are_refused(train: Callable[..., Any], tmp_path: Path) -> None:
    left = iter([False] * 7 + [True])
    with pytest.raises(Interrupted):
        train("runs", stop=left.__next__)
    document = tmp_path / "runs/cnn-rung-000006.json"
    assert json.loads(document.read_text())["kept"] == ["cnn-02", "cnn-03"]
    with pytest.raises(StageError, match="decided by other settings"):
        train("runs", halving={"rungs": [0.25, 0.5], "by": TERM, "keep": 0.75})


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"halving": {"rungs": [0.5], "by": "kl:logit"}}, "has no term 'kl:logit'; there are"),
        ({"halving": {"rungs": [0.5]}, "sweep": {"objective.0.weight": [0.1, 1.0]}}, "another sum in each trial"),
        ({"halving": {"rungs": [0.5], "by": TERM}, "sweep": {"objective.1.temperature": [1.0, 4.0]}}, "another thing"),
        ({"halving": {"rungs": [0.05], "by": TERM}}, "nothing is recorded before step 2"),
    ],
)
def test_rungs_that_cannot_be_decided_are_refused(train: Callable[..., Any], settings: Any, said: str) -> None:
    with pytest.raises(StageError, match=said):
        train("wrong", **settings, log_every=3)
