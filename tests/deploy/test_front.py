"""Which shapes are worth their cost, and which stop early."""

import json
from pathlib import Path
from typing import Any

import pytest

from teachercache.stages.deploy.architecture.cost import above_limits
from teachercache.stages.deploy.architecture.front import FrontRungs, ShapePoint, pareto_front
from teachercache.stages.deploy.architecture.spec import ArchitectureSpec, LimitsSpec
from teachercache.stages.errors import StageError
from teachercache.stages.student.spec import StudentSpec, TrainSpec
from teachercache.stages.student.trial.trial import plan_trials


def point(name: str, cost: float, figure: float | None) -> ShapePoint:
    return ShapePoint(name, {}, "finished" if figure is not None else "failed", None, {"macs": cost}, figure)


def test_the_front_has_what_nothing_beats_in_figure_and_cost_both() -> None:
    points = [
        point("dear", 9, 0.9),
        point("cheap", 1, 0.5),
        point("beaten", 5, 0.5),
        point("twin", 9, 0.9),
        point("failed", 0, None),
        point("middle", 4, 0.8),
    ]
    assert [one.name for one in pareto_front(points, "macs", "higher")] == ["cheap", "middle", "dear"]
    assert [one.name for one in pareto_front(points, "macs", "lower")] == ["cheap"]
    assert pareto_front([], "macs", "higher") == []


def test_limits_are_named_with_what_breaks_them() -> None:
    costs: Any = {"parameters": 1000, "bytes": 4000, "macs": 10, "latency_ms": 0.5}
    assert above_limits(costs, LimitsSpec()) is None
    assert above_limits(costs, LimitsSpec(parameters=1000)) is None
    assert (
        above_limits(costs, LimitsSpec(bytes=3999, latency_ms=0.4))
        == "bytes 4,000 above 3,999, latency_ms 0.5 above 0.4"
    )


@pytest.fixture
def rungs(tmp_path: Path) -> Any:
    """(rungs, trials, folder) of four shapes whose losses fall with what they cost, but for d: dear, and no better."""
    train = TrainSpec(steps=8, seeds=(0,), log_every=1)
    students = [StudentSpec(name=name, use="cnn", objective=({"loss": "cross_entropy"},)) for name in "abcd"]
    trials = plan_trials(students, train)
    for trial, loss in zip(trials, (3.0, 2.0, 1.0, 2.5), strict=True):
        trial.folder(tmp_path).mkdir(parents=True)
        records = [{"step": step, "loss": loss, "terms": {"kl:logits": -loss}} for step in range(1, 9)]
        text = "".join(json.dumps({**one, "rate": 1, "norm": 1, "seconds": 1}) + "\n" for one in records)
        (trial.folder(tmp_path) / "history.jsonl").write_text(text)
    costs = {"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0}

    def make(**changes: Any) -> FrontRungs:
        spec = ArchitectureSpec(student="x", parameters={"args.widths": ([1],)}, trials=4, rungs=(0.5,), **changes)
        return FrontRungs(spec, train, trials, costs)

    return make, trials, tmp_path


def test_a_shape_stops_that_two_cheaper_ones_do_better_than(rungs: Any) -> None:
    make, trials, folder = rungs
    assert make().steps == (4,)
    [stop] = make().weak(trials, folder, 4)
    assert stop.trial.student.name == "d"
    assert stop.reason == "at step 4 b and c cost no more and do better by loss"


def test_what_stops_does_not_hang_on_who_is_asked_about(rungs: Any) -> None:
    """A search that was killed at a rung asks about those alone that had not stopped yet."""
    make, trials, folder = rungs
    assert [one.trial for one in make().weak(trials[3:], folder, 4)] == [trials[3]]


def test_rungs_go_by_a_term_that_there_is(rungs: Any) -> None:
    make, trials, folder = rungs
    assert [one.trial.student.name for one in make(by="kl:logits").weak(trials, folder, 4)] == ["c"]
    with pytest.raises(StageError, match=r"architecture\.by: a has no term 'kd'; there are \['kl:logits', 'loss'\]"):
        make(by="kd").check(trials[0], ["kl:logits"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"parameters": {"args.widths": ()}}, "the list is empty"),
        ({"rungs": (0.5, 0.5)}, "each is above the one before"),
    ],
)
def test_settings_that_mean_nothing_are_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ArchitectureSpec(**{"student": "x", "parameters": {"use": ("cnn",)}, "trials": 1, **change})
