"""A sweep that Optuna leads, from the YAML to the report; every command sees the trials that were chosen so far."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from teachercache.pipeline.config import load_config
from teachercache.pipeline.errors import ConfigError
from teachercache.pipeline.students.together import refuse_studies
from teachercache.pipeline.students.training import chosen_trials
from teachercache.stages.student.ranks.ranks import Ranks

pytest.importorskip("optuna", reason="Optuna is not installed; `pip install 'teachercache[sweep]'`")
TERMS = [{"loss": "cross_entropy"}, {"loss": "kl", "signal": "logits"}]
STARTUP = {"n_startup_trials": 1}
TRAIN = {"steps": 4, "batch_size": 8, "seeds": [0], "device": "cpu", "log_every": 1}


@pytest.fixture
def led(make_recipe: Callable[..., Path]) -> Callable[..., Path]:
    def make(train: dict[str, Any] | None = None, **study: Any) -> Path:
        sweep = {
            "kind": "optuna",
            "trials": 3,
            "parameters": {"optimizer.lr": {"low": 1e-4, "high": 1e-1, "log": True}},
            "study": {"together": 2, "pruner": "median", "rungs": [0.5], "pruner_args": {"n_startup_trials": 1}}
            | study,
        }
        cnn = {"name": "cnn", "use": "cnn", "args": {"widths": [4]}, "objective": TERMS}
        students = [cnn | {"sweep": sweep}, cnn | {"name": "fixed"}]
        return make_recipe(students=students, train=TRAIN | (train or {}))

    return make


@pytest.mark.slow
def test_a_run_chooses_trains_judges_and_reports(run: Callable[..., str], led: Callable[..., Path]) -> None:
    recipe = led()
    assert [one.name for one in load_config(recipe).students] == ["cnn-01", "cnn-02", "fixed"]
    said = run("run", recipe)
    config = load_config(recipe)
    assert [one.name for one in config.students] == ["cnn-01", "cnn-02", "cnn-03", "fixed"]
    folders = {one.name: one.folder(config.run / "students") for one in chosen_trials(config)}
    saved = [name for name, folder in folders.items() if (folder / "student.json").exists()]
    stopped = [name for name, folder in folders.items() if (folder / "stopped.json").exists()]
    assert sorted(saved + stopped) == sorted(folders) and len(saved) >= 3
    assert all((folders[name] / "evaluation.json").exists() for name in saved)
    page = (config.run / "report.html").read_text()
    assert all(name in page for name in stopped) and "cnn-02" in page
    again = run("train", recipe, "--student", "cnn")
    assert "3 trials" in said or "trained" in said
    assert load_config(recipe).students == config.students and "error" not in again


def test_a_study_is_led_by_one_process(led: Callable[..., Path]) -> None:
    config = load_config(led())
    refuse_studies(config, Ranks())
    with pytest.raises(ConfigError, match="is led by one process; train it without torchrun"):
        refuse_studies(config, Ranks(0, 2))


def test_what_a_study_cannot_have_is_refused(run: Callable[..., str], led: Callable[..., Path]) -> None:
    with pytest.raises(ConfigError, match=r"train\.halving: a sweep that Optuna leads stops weak trials by its own"):
        load_config(led({"halving": {"rungs": [0.5]}}))
    assert "cannot be divided into tasks" in run("train", led(), "--launch", "slurm", "--dry-run", code=2)
    with pytest.raises(ConfigError, match=r"sampler: .*not 'tep'; did you mean tpe"):
        load_config(led(sampler="tep"))
    assert "did you mean n_startup_trials" in run("check", led(sampler_args={"n_startup_trial": 2}), code=2)
