"""A sweep becomes the students that it says, equal to those written by hand, and refuses what it cannot set."""

import math
from typing import Any

import pytest
from pydantic import ValidationError

from teachercache.stages.student.spec import StudentSpec
from teachercache.stages.student.sweep.expansion import expand_sweeps

SETTINGS: dict[str, Any] = {
    "name": "cnn",
    "use": "cnn",
    "args": {"widths": [8, 16]},
    "objective": [{"loss": "kl", "signal": "logits"}, {"loss": "cross_entropy", "weight": 0.5}],
}


def swept(parameters: dict[str, Any], **sweep: Any) -> tuple[StudentSpec, ...]:
    return expand_sweeps([StudentSpec(**SETTINGS, sweep={"parameters": parameters, **sweep})])


def test_a_grid_is_every_combination_as_if_written_by_hand() -> None:
    trials = swept({"optimizer.lr": [1e-3, 3e-3], "args.widths": [[4], [8, 8]], "objective.1.weight": [0.1]})
    assert [trial.name for trial in trials] == ["cnn-01", "cnn-02", "cnn-03", "cnn-04"]
    by_hand = StudentSpec(
        **SETTINGS
        | {
            "name": "cnn-03",
            "args": {"widths": [4]},
            "optimizer": {"lr": 3e-3},
            "objective": [SETTINGS["objective"][0], {"loss": "cross_entropy", "weight": 0.1}],
        }
    )
    assert trials[2].model_copy(update={"swept": None}) == by_hand
    assert trials[2].swept == {"optimizer.lr": 3e-3, "args.widths": [4], "objective.1.weight": 0.1}
    assert all(trial.sweep is None for trial in trials)


def test_drawn_trials_lie_within_and_stay_when_more_are_drawn() -> None:
    ranges: dict[str, Any] = {
        "optimizer.lr": {"low": 1e-4, "high": 1e-1, "log": True},
        "args.depth": {"low": 1, "high": 9, "integer": True},
        "optimizer.warmup": {"low": 0.0, "high": 0.5},
    }
    many = [trial.swept for trial in swept(ranges, kind="random", trials=200)]
    rates = [math.log10(one["optimizer.lr"]) for one in many if one]
    assert min(rates) >= -4 and max(rates) <= -1
    assert all(50 <= sum(low <= rate < low + 1 for rate in rates) <= 85 for low in (-4, -3, -2))
    assert {one["args.depth"] for one in many if one} == set(range(1, 10))
    few = [trial.swept for trial in swept(ranges, kind="random", trials=5)]
    assert few == many[:5]
    without = [trial.swept for trial in swept({"optimizer.lr": ranges["optimizer.lr"]}, kind="random", trials=5)]
    assert [one["optimizer.lr"] for one in without if one] == [one["optimizer.lr"] for one in few if one]
    assert few != [trial.swept for trial in swept(ranges, kind="random", trials=5, seed=1)]


def test_drawn_trials_differ_and_too_many_are_refused() -> None:
    trials = swept({"optimizer.lr": [1e-3, 3e-3], "args.depth": [1, 2]}, kind="random", trials=4)
    assert len({str(trial.swept) for trial in trials}) == 4
    with pytest.raises(ValueError, match="5 are asked for, and the lists allow 4"):
        swept({"optimizer.lr": [1e-3, 3e-3], "args.depth": [1, 2]}, kind="random", trials=5)


@pytest.mark.parametrize(
    ("path", "values", "said"),
    [
        ("optimiser.lr", [1.0], "a student has no 'optimiser'; did you mean optimizer"),
        ("optimizer.rl", [1.0], "optimizer has no 'rl'; did you mean lr"),
        ("objective.2.weight", [1.0], "objective has no '2'; there are 0, 1"),
        ("select.share", [0.5], "select is not set here"),
        ("use.cnn", ["x"], "use is one value here"),
        ("name", ["a"], "cannot be tried"),
        ("optimizer.lr", [1e-3, -1.0], r"trial 2 \(optimizer.lr -1.0\) is not valid: optimizer.lr"),
    ],
)
def test_what_cannot_be_set_is_refused_with_the_nearest(path: str, values: list[Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        swept({path: values})


@pytest.mark.parametrize(
    ("sweep", "said"),
    [
        ({"parameters": {"optimizer.lr": {"low": 1, "high": 2}}}, "a grid takes a list"),
        ({"parameters": {"optimizer.lr": []}}, "the list is empty"),
        ({"parameters": {"optimizer.lr": [1]}, "trials": 3}, "takes none"),
        ({"parameters": {"optimizer.lr": [1]}, "kind": "random"}, "needs trials"),
        ({"kind": "random", "trials": 2, "parameters": {"optimizer.lr": {"low": 0, "high": 1, "log": True}}}, "above"),
    ],
)
def test_settings_of_a_sweep_that_make_no_sense_are_refused(sweep: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        StudentSpec(**SETTINGS, sweep=sweep)
