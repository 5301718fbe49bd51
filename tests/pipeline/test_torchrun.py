"""`torchrun` starts several processes of `train`: they train as one, one of them speaks, a signal stops them all."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from teachercache.stages.student.files.history import read_history

MakeRecipe = Callable[..., Path]
Run = Callable[..., str]
TRIAL = Path("students") / "cnn" / "distilled" / "seed-0"


def torchrun(*words: object, ranks: int = 2) -> "subprocess.Popen[str]":
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"]
    command = [*torchrun, "-m", "teachercache", *map(str, words)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)


def ended(process: "subprocess.Popen[str]") -> str:
    """Everything that it printed, on one line."""
    said, _ = process.communicate(timeout=300)
    return " ".join(said.split())


def train_settings(**changes: object) -> dict[str, object]:
    settings: dict[str, object] = {"steps": 6, "batch_size": 8, "seeds": [0], "window": 2, "device": "cpu"}
    return settings | {"checkpoint_every": 2, "log_every": 1} | changes


@pytest.mark.slow
def test_several_processes_train_a_student_and_one_of_them_speaks(
    run: Run, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    recipe = make_recipe(train=train_settings())
    run("cache", "build", recipe)
    process = torchrun("train", recipe)
    said = ended(process)
    assert process.returncode == 0 and said.count("trained 1 of 1 trial") == 1, said
    assert json.loads((tmp_path / "run" / TRIAL / "student.json").read_text())["steps"] == 6
    assert [one["step"] for one in read_history(tmp_path / "run" / TRIAL / "history.jsonl")] == [1, 2, 3, 4, 5, 6]
    assert "trained 1 of 1 trial" in run("train", recipe)


@pytest.mark.slow
def test_what_cannot_work_is_said_once(run: Run, make_recipe: MakeRecipe) -> None:
    recipe = make_recipe(train=train_settings(batch_size=1))
    for words, error in (
        (("train", recipe, "--student", "nobody"), "has no such student"),
        (("train", recipe), "teachercache cache build"),
    ):
        said = ended(torchrun(*words))
        assert said.count(error) == 1, said
    run("cache", "build", recipe)
    assert ended(torchrun("train", recipe)).count("1 rows are too few for 2 processes") == 1


def test_only_train_divides_its_work(run: Run, make_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("RANK", "1"), ("WORLD_SIZE", "2"), ("MASTER_ADDR", "localhost"), ("MASTER_PORT", "1")):
        monkeypatch.setenv(name, value)
    assert "would all do the same" in run("run", make_recipe(), code=2)


@pytest.mark.slow
def test_a_signal_stops_all_at_one_step_and_the_same_command_continues(
    run: Run, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    recipe = make_recipe(train=train_settings(steps=3000, checkpoint_every=1000))
    run("cache", "build", recipe)
    history, process = tmp_path / "run" / TRIAL / "history.jsonl", torchrun("train", recipe)
    while process.poll() is None and not (history.exists() and len(read_history(history)) > 5):
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    said = ended(process)
    assert said.count("interrupted: stopped at step") == 1, said
    (kept,) = (history.parent / "checkpoints").glob("step-*")
    assert kept.name == f"step-{read_history(history)[-1]['step']:06d}"
    assert f"stopped at step {int(kept.name[5:])} of 3000" in said


@pytest.mark.slow
def test_a_process_that_is_killed_ends_the_others(run: Run, make_recipe: MakeRecipe, tmp_path: Path) -> None:
    recipe = make_recipe(train=train_settings(steps=100_000))
    run("cache", "build", recipe)
    history, process = tmp_path / "run" / TRIAL / "history.jsonl", torchrun("train", recipe)
    while process.poll() is None and not (history.exists() and len(read_history(history)) > 5):
        time.sleep(0.05)
    found = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True).stdout.split()
    os.kill(int(found[-1]), signal.SIGKILL)
    said = ended(process)
    assert process.returncode != 0 and "SIGKILL" in said
