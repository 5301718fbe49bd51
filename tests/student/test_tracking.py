"""Trials are told to trackers that are asked for, a missing one is refused, and one that fails ends no trial."""

import importlib.machinery
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from teachercache.stages.errors import Interrupted, StageError
from teachercache.stages.student.fleet import train_fleet
from teachercache.stages.student.tracking import tracker
from teachercache.stages.student.trial.trial import plan_trials

CPU = torch.device("cpu")


@pytest.fixture
def train(memory: ModuleType, tmp_path: Path) -> Callable[..., Any]:
    """train(track, folder="runs", stop=...): one linear trial of six steps."""

    def run(track: tuple[str, ...], folder: str = "runs", **hooks: Any) -> Any:
        spec = memory.make_train(steps=6, track=track)
        student = memory.make_student(args={"widths": [4]})
        (result,) = train_fleet(
            plan_trials([student], spec), memory.MemoryStream(spec), memory.SHAPE, tmp_path / folder, spec, CPU, **hooks
        )
        return result

    return run


def test_a_tracker_that_is_not_installed_is_refused_by_name_before_the_first_step(
    train: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tracker, "find_spec", lambda name: None)
    with pytest.raises(StageError, match=r"train\.track: wandb is not installed; pip install 'teachercache\[wandb\]'"):
        train(("wandb",))
    assert not list(tmp_path.rglob("trial.json"))


def test_a_tracker_that_fails_is_left_out_with_a_warning_and_the_trial_ends_equal(
    train: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    away = ModuleType("wandb")
    away.__spec__ = importlib.machinery.ModuleSpec("wandb", None)
    monkeypatch.setitem(sys.modules, "wandb", away)  # it has no `init`
    with pytest.warns(RuntimeWarning, match="small/distilled/seed-0 is no longer tracked by wandb"):
        tracked = train(("wandb",))
    plain = train((), "plain")
    assert tracked.status == "finished"
    weights = [(one.folder / "student.safetensors").read_bytes() for one in (tracked, plain)]
    assert weights[0] == weights[1]


def test_mlflow_has_one_run_of_a_trial_that_was_interrupted(
    train: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A client that keeps what it is told: how MLflow itself keeps it is MLflow's."""
    told: dict[str, list[tuple[str, int]]] = {}
    mlflow, entities = ModuleType("mlflow"), ModuleType("mlflow.entities")
    for module in (mlflow, entities):
        module.__spec__ = importlib.machinery.ModuleSpec(module.__name__, None)
        monkeypatch.setitem(sys.modules, module.__name__, module)

    class Client:
        def get_experiment_by_name(self, name: str) -> None:
            assert name == "teachercache"

        def create_experiment(self, name: str) -> str:
            return "1"

        def create_run(self, experiment: str, run_name: str) -> Any:
            told[run_name] = []
            return type("Run", (), {"info": type("Info", (), {"run_id": run_name})})

        def log_param(self, run: str, key: str, value: str) -> None:
            assert len(value) <= 500

        def set_terminated(self, run: str, status: str = "FINISHED") -> None:
            assert run in told

        def log_batch(self, run: str, metrics: list[tuple[str, int]]) -> None:
            told[run] += metrics

    monkeypatch.setattr(mlflow, "MlflowClient", Client, raising=False)
    monkeypatch.setattr(entities, "Metric", lambda key, value, when, step: (key, step), raising=False)
    left = iter([False, False, False, True])
    with pytest.raises(Interrupted):
        train(("mlflow",), stop=left.__next__)
    train(("mlflow",))
    (run,) = told.values()
    assert [step for key, step in run if key == "loss"] == [2, 4, 6]
    assert {"accuracy", "terms/kl:logits"} <= {key for key, _ in run}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["wandb", "mlflow"])
@pytest.mark.filterwarnings("default", "error:.*no longer tracked:RuntimeWarning")  # their own are theirs
def test_the_real_packages_take_a_trial_without_a_network(
    train: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    pytest.importorskip(name, reason=f"{name} is not installed; `pip install 'teachercache[{name}]'`")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    left = iter([False, False, False, True])
    with pytest.raises(Interrupted):
        train((name,), stop=left.__next__)
    result = train((name,))
    assert result.status == "finished"
    if name == "wandb":
        assert list(result.folder.glob("wandb/offline-run-*/run-*.wandb"))
    else:
        from mlflow import MlflowClient

        client = MlflowClient()
        (found,) = client.search_runs([client.get_experiment_by_name("teachercache").experiment_id])
        assert [one.step for one in client.get_metric_history(found.info.run_id, "accuracy")] == [2, 4, 6]
