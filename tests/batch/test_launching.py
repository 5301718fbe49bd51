"""Launching without a queue: plans, scripts, processes of this machine, and what `jobs` says of any of them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cluster import until
from recipe import write_recipe, write_shard

from teachercache.cache import Manifest, SignalSchema, create_cache, open_cache
from teachercache.pipeline.launching.attempt import VARIABLE, read_attempts, recorded_attempt
from teachercache.pipeline.launching.cost import JobsCost, jobs_cost
from teachercache.pipeline.launching.division import numbers_of, numbers_text, shares, waves
from teachercache.pipeline.launching.engine import Outlook
from teachercache.pipeline.launching.errors import LaunchError
from teachercache.pipeline.launching.progress import counts, job_progress
from teachercache.pipeline.launching.record import Job, read_job, write_job
from teachercache.pipeline.launching.script import array_script
from teachercache.pipeline.launching.spec import LaunchSpec
from teachercache.pipeline.launching.task import Array, Stage, Task
from teachercache.pipeline.part_building import build_each
from teachercache.stages.errors import StageError, StageFailed

Run = Callable[..., str]


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    for number in range(5):
        write_shard(tmp_path / "data" / f"train-{number}.tar", number)
    write_shard(tmp_path / "data" / "test-0.tar", 1000)
    return write_recipe(tmp_path, tmp_path / "data")


def job(folder: Path, *stages: Stage, **launch: object) -> Job:
    return Job(folder, LaunchSpec.model_validate({"engine": "slurm", **launch}), "r.yaml", "/", "python", 0.0, stages)


@pytest.mark.parametrize(
    ("count", "most", "fewest"), [(0, 3, 1), (1, 3, 1), (7, 3, 1), (7, 32, 3), (100, 32, 1), (2, 9, 5)]
)
def test_shares_are_everything_once_in_order(count: int, most: int, fewest: int) -> None:
    found = shares(range(count), most, fewest)
    assert [item for share in found for item in share] == list(range(count))
    assert len(found) <= most and all(len(share) >= min(fewest, count) for share in found)
    assert max(map(len, found), default=0) - min(map(len, found), default=0) <= 1
    assert [len(wave) for wave in waves(range(7), 3)] == [3, 3, 1]


def test_numbers_as_text_come_back() -> None:
    for numbers in ([], [4], [0, 1, 2, 7], [0, 2, 4], list(range(50, 99))):
        assert numbers_of(numbers_text(numbers)) == numbers
    assert numbers_text([0, 1, 2, 7]) == "0-2,7"


def test_a_dry_run_prints_the_scripts_and_starts_nothing(run: Run, recipe: Path, tmp_path: Path) -> None:
    said = run("run", recipe, "--launch", "slurm", "--dry-run")
    assert "--part training --checked --shards 0" in said and "--part held-out --checked --shards 0" in said
    assert "#SBATCH --array=0-5" in said and "afterany:<arrays of cache>" in said
    assert "scontrol requeue" in said and "srun --ntasks=1" in said
    assert not (tmp_path / "run").exists()
    assert "--launch slurm" in run("run", recipe, "--dry-run", code=2)


def test_a_script_is_shell_and_quotes_what_it_is_given(tmp_path: Path) -> None:
    stage = Stage("train", (Task(("train", "a b; rm -rf /", "--trials", "x'y")),), (Array(0, 1),))
    script = array_script(
        job(tmp_path / "with space", stage, setup=["module load cuda"], stagger=2), stage, stage.arrays[0]
    )
    done = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert "'a b; rm -rf /'" in script and "\nmodule load cuda\n" in script


@pytest.mark.parametrize("option", ["--nice=1\nrm -rf /", "rm -rf /"])
def test_an_option_that_is_no_option_is_refused(tmp_path: Path, option: str) -> None:
    stage = Stage("train", (Task(("train",)),), (Array(0, 1),))
    with pytest.raises(LaunchError, match="no option of sbatch"):
        array_script(job(tmp_path, stage, options=[option]), stage, stage.arrays[0])


def test_slurm_that_is_not_there_is_said_in_one_line(run: Run, recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert "which is not on this machine" in run("cache", "build", recipe, "--launch", "slurm", code=2)


def test_a_chain_that_is_refused_in_the_middle_is_taken_back(
    run: Run, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """sbatch is a script here that refuses the third array; a real one does so where a limit of jobs is reached."""
    programs = tmp_path / "bin"
    programs.mkdir()
    count, cancelled = tmp_path / "count", tmp_path / "cancelled"
    sbatch = f'echo x >> {count}; n=$(wc -l < {count}); [ $n -lt 3 ] && echo $n || {{ echo "limit" >&2; exit 1; }}'
    for name, text in {"sbatch": sbatch, "scancel": f'echo "$@" > {cancelled}', "scontrol": "exit 1"}.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    assert "sbatch refused: limit" in run("run", recipe, "--launch", "slurm", code=2)
    assert cancelled.read_text().split() == ["1", "2"]


def test_a_part_of_the_cache_and_some_trials(run: Run, recipe: Path, tmp_path: Path) -> None:
    run("cache", "build", recipe, "--part", "training", "--shards", "1-2")
    assert open_cache(tmp_path / "run" / "cache").shards == ("train-1", "train-2")
    assert "there are training, held-out" in run("cache", "build", recipe, "--part", "test", code=2)
    run("cache", "build", recipe)
    run("train", recipe, "--trials", "slow/distilled/seed-1")
    assert [path.name for path in (tmp_path / "run/students/slow/distilled").iterdir()] == ["seed-1"]
    assert "'slow/x' is no trial" in run("train", recipe, "--trials", "slow/x", code=2)


def test_processes_of_this_machine_build_a_cache_and_one_that_is_killed_is_started_again(
    recipe: Path, tmp_path: Path
) -> None:
    pace = tmp_path / "pace"
    pace.write_text("0.3")
    own = {"TEACHER_PACE": str(pace), "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *_paths()])}
    recipe.write_text(recipe.read_text() + "\nlaunch: {engine: local, workers: 2}\n")
    command = [sys.executable, "-m", "teachercache", "cache", "build", str(recipe)]
    with subprocess.Popen(command, env={**os.environ, **own}, stdout=-1, stderr=-1, text=True) as process:
        attempts = tmp_path / "run" / "jobs"
        until(lambda: bool(list(attempts.glob("*/attempts/cache-0.0.*.running"))), 60)
        killed = json.loads(next(attempts.glob("*/attempts/cache-0.0.*.running")).read_text())["pid"]
        os.kill(killed, signal.SIGKILL)
        pace.write_text("0")
        said = "".join(process.communicate(timeout=120))
    assert process.returncode == 0, said
    assert open_cache(tmp_path / "run" / "cache").missing() == ()
    found = read_attempts(next(attempts.iterdir()) / "attempts")
    assert [attempt.ending for attempt in found["cache-0"]] == ["running", "finished"]


def _paths() -> list[str]:
    return [path for path in [os.environ.get("PYTHONPATH")] if path]


def test_an_attempt_says_how_it_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    for code in (75, 2, 0):
        monkeypatch.setenv(VARIABLE, str(tmp_path / "attempts" / "cache-7"))
        with pytest.raises(SystemExit), recorded_attempt():
            assert VARIABLE not in os.environ
            try:
                raise StageError("no such thing")
            except StageError:
                sys.exit(code)
    found = read_attempts(tmp_path / "attempts")["cache-7"]
    assert [attempt.ending for attempt in found] == ["again", "failed", "finished"]
    assert [attempt.content()["said"] for attempt in found] == ["no such thing", "no such thing", ""]
    assert {attempt.content()["gpus"] for attempt in found} == {2}


def test_the_cost_of_jobs_counts_starts_that_were_lost(tmp_path: Path) -> None:
    assert jobs_cost(tmp_path) is None
    here = job(tmp_path / "jobs" / "x", Stage("cache", (Task(("cache", "build")),), (Array(0, 1),)))
    here.attempts.mkdir(parents=True)
    write_job(here)
    starts = {"cache-0.0.0a.running": (100.0, 2), "cache-0.1.0b.finished": (50.0, 2), "train-0.0.0c.again": (10.0, 0)}
    for name, (seconds, gpus) in {**starts, "report-0.0.0d.running": (99.0, 1)}.items():
        (here.attempts / name).write_text(json.dumps({"seconds": seconds, "gpus": gpus}))
    assert jobs_cost(tmp_path) == JobsCost(starts=3, restarts=1, seconds=160.0, gpu_seconds=300.0)


def test_one_broken_shard_costs_the_others_nothing() -> None:
    done: list[str] = []
    begun = 0

    def build(shards: object) -> None:
        nonlocal begun
        begun += 1
        for shard in list(shards):  # type: ignore[call-overload]
            if shard in ("b", "e"):
                raise StageFailed(f"{shard} is broken")
            done.append(shard)

    failed = build_each("abcdefg", build, lambda: [shard for shard in "abcdefg" if shard not in done])
    assert sorted(failed) == ["b", "e"] and done == list("acdfg")
    assert str(failed["e"]) == "e is broken" and begun <= 6


def test_jobs_answers_within_a_second_with_ten_thousand_tasks(tmp_path: Path) -> None:
    """A record, receipts and starts as 10,000 tasks leave them; CPU seconds, because other tests share the cores."""
    shards = tuple(f"train-{number:05d}" for number in range(10_000))
    create_cache(tmp_path / "cache", Manifest({"signals": {}}, {"l": SignalSchema("l", "f32", {}, (4,))}, shards, 1, 4))
    (tmp_path / "cache" / "receipts").mkdir()
    tasks = tuple(
        Task(("cache", "build", "/a/long/path/of/a/recipe.yaml", "--shards", str(n)), str(tmp_path / "cache"), str(n))
        for n in range(10_000)
    )
    stage = Stage("cache", tasks, tuple(Array(first, 1000, str(first)) for first in range(0, 10_000, 1000)))
    folder = tmp_path / "run" / "jobs" / "one"
    (folder / "attempts").mkdir(parents=True)
    write_job(job(folder, stage))
    for number, shard in enumerate(shards[:9_900]):
        (tmp_path / "cache" / "receipts" / f"{shard}.json").touch()
        (folder / "attempts" / f"cache-{number}.0.00000000.finished").touch()
    (folder / "attempts" / "cache-9900.0.00000000.failed").write_text('{"said": "a broken image"}')
    (folder / "attempts" / "cache-9901.0.00000000.running").write_text("{}")
    started = time.process_time()
    progress = job_progress(read_job(folder), Outlook({("cache", 9902): "running", ("cache", 9903): "waiting"}, True))
    seconds = time.process_time() - started
    assert counts(progress) == {"done": 9900, "failed": 1, "killed": 1, "running": 1, "waiting": 1, "not started": 96}
    assert progress[9900].said() == "a broken image"
    assert seconds < 1.0


def test_what_is_done_is_asked_of_receipts_alone(tmp_path: Path) -> None:
    """A task that says it has finished and left nothing is not done; one that was killed after its receipt is."""
    create_cache(tmp_path / "c", Manifest({"signals": {}}, {"l": SignalSchema("l", "f32", {}, (4,))}, ("a", "b"), 1, 4))
    (tmp_path / "c" / "receipts").mkdir()
    (tmp_path / "c" / "receipts" / "b.json").touch()
    tasks = tuple(Task(("cache", "build"), str(tmp_path / "c"), str(number)) for number in range(2))
    here = job(tmp_path / "run" / "jobs" / "x", Stage("cache", tasks, (Array(0, 2),)))
    here.attempts.mkdir(parents=True)
    (here.attempts / "cache-0.0.00000000.finished").touch()
    (here.attempts / "cache-1.0.00000000.running").touch()
    assert [task.state for task in job_progress(here, Outlook({}, True))] == ["unfinished", "done"]
