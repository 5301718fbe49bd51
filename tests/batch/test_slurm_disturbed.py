"""One chain on a real Slurm, disturbed in every way at once: it ends as one that nobody touched."""

import json
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench import Bench, MakeBench
from cluster import PATIENCE, Cluster, until
from recipe import ROWS

from teachercache.cache import open_cache
from teachercache.cache.keeping.verify import verify_cache

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(1800)]
SHARDS = 8
LAUNCH = {"gres": "gpu:1", "array": 4, "crashes": 1}


@dataclass(frozen=True)
class Disturbed:
    """A finished run, how it was disturbed, and one that was not."""

    bench: Bench
    preempted: set[str]
    tasks: list[dict[str, Any]]
    reference: Path


@pytest.fixture(scope="module")
def disturbed(cluster: Cluster, make_bench: MakeBench) -> Disturbed:
    """While the cache is built, one task is requeued, one killed with -9, one run a second time by hand, and those of a
    node preempted; while students are trained, one trial is requeued and the other run a second time."""
    bench = make_bench(SHARDS, launch=LAUNCH)
    bench.pace(student=0.4, rows=6)  # no task ends before it was disturbed, however slow the machine
    assert "launched" in bench.call("run", bench.recipe)
    record = json.loads((bench.job / "job.json").read_text())
    arrays = record["stages"][0]["arrays"]
    assert [(array["first"], array["count"]) for array in arrays] == [(0, 4), (4, 1)]  # MaxArraySize is 5
    first = arrays[0]["id"]
    bench.working("cache-0", 6)
    cluster.call("scontrol", "requeue", f"{first}_0")
    os.kill(bench.working("cache-1", 6), signal.SIGKILL)
    bench.working("cache-2", 6)
    twice = [bench.begin(*record["stages"][0]["tasks"][2]["arguments"])]
    bench.working("cache-3", 6)
    node = cluster.call("squeue", "-h", "-j", f"{first}_3", "-o", "%N").strip()
    there = set(cluster.call("squeue", "-h", "-r", "-w", node, "-j", first, "-o", "%i").split())
    cluster.call("sbatch", "-p", "high", "-w", node, "-n2", "-o", "/dev/null", "--wrap", "sleep 1")
    until(lambda: len(bench.attempts("cache-3")) > 1)
    bench.pace(student=0.4)
    until(lambda: len(_steps(bench, 0)) > 13)
    trial = record["stages"][1]["arrays"][0]["id"]
    cluster.call("scontrol", "requeue", f"{trial}_0")
    twice.append(bench.begin(*record["stages"][1]["tasks"][1]["arguments"]))
    until(lambda: len(bench.attempts("train-0")) > 1)
    bench.pace()
    for process in twice:
        with process:
            said = process.communicate(timeout=PATIENCE)[0]
        assert process.returncode == 0, said
    until(lambda: bool(bench.attempts("report-0", "f*")))
    reference = bench.root / "reference"
    alone = bench.root / "alone.yaml"
    alone.write_text(bench.recipe.read_text().replace(str(bench.root / "run"), str(reference)))
    bench.environment.pop("TEACHER_HEARD")
    bench.call("run", alone, "--launch", "inline")
    return Disturbed(bench, there, bench.tasks(), reference)


def _steps(bench: Bench, seed: int) -> list[str]:
    history = bench.root / f"run/students/slow/distilled/seed-{seed}/history.jsonl"
    return history.read_text().splitlines() if history.exists() else []


def test_the_cache_is_the_one_that_nobody_disturbed(disturbed: Disturbed) -> None:
    for name in ("cache", "cache-held-out"):
        cache, expected = (open_cache(root / name) for root in (disturbed.bench.root / "run", disturbed.reference))
        assert cache.missing() == () and verify_cache(cache) == [] and cache.rows == expected.rows
        rows = np.arange(cache.rows)
        np.testing.assert_array_equal(cache.read(rows).signals["logits"], expected.read(rows).signals["logits"])


def test_no_row_is_lost_or_doubled(disturbed: Disturbed) -> None:
    cache = open_cache(disturbed.bench.root / "run" / "cache")
    found = [row for shard in cache.shards for row in zip(*_ids(cache, shard), strict=True)]
    assert len(found) == len(set(found)) == SHARDS * ROWS


def _ids(cache: Any, shard: str) -> tuple[list[str], list[int]]:
    index = cache.reader(shard).index
    return index.ids.tolist(), index.views.tolist()


def test_each_disturbance_redoes_one_shard_at_most(disturbed: Disturbed) -> None:
    """Of a task that runs twice at once nothing else can be asked than that both do its shards."""
    heard = disturbed.bench.heard()
    redone = {shard: rows - ROWS for shard, rows in heard.items() if shard < SHARDS and rows > ROWS}
    tasks = {task: [redone.get(shard, 0) for shard in (2 * task, 2 * task + 1)] for task in range(4)}
    assert all(heard[shard] >= ROWS for shard in range(SHARDS))
    assert 0 < sum(tasks[1]) <= 2 * ROWS, tasks  # killed, and it may have been on the node that was preempted
    assert all(sum(extra) <= 3 * ROWS for extra in tasks.values()), tasks


def test_the_preempted_task_was_requeued_and_finished(disturbed: Disturbed) -> None:
    endings = [path.suffix for path in disturbed.bench.attempts("cache-3")]
    assert endings[0] == ".again" and endings[-1] == ".finished"


def test_the_killed_task_left_its_record_open_and_was_started_again(disturbed: Disturbed) -> None:
    endings = [path.suffix for path in disturbed.bench.attempts("cache-1")]
    assert ".running" in endings and endings[-1] == ".finished"


def test_a_trial_that_was_requeued_equals_one_that_never_stopped(disturbed: Disturbed) -> None:
    assert len(disturbed.bench.attempts("train-0")) > 1
    _same_students(disturbed, 0)


def test_a_trial_run_twice_at_once_equals_one_that_ran_alone(disturbed: Disturbed) -> None:
    _same_students(disturbed, 1)


def _same_students(disturbed: Disturbed, seed: int) -> None:
    trial = f"students/slow/distilled/seed-{seed}"
    own, expected = disturbed.bench.root / "run" / trial, disturbed.reference / trial
    assert (own / "student.safetensors").read_bytes() == (expected / "student.safetensors").read_bytes()
    steps = [json.loads(line)["step"] for line in (own / "history.jsonl").read_text().splitlines()]
    assert steps == list(range(1, 41))
    assert not (own / "checkpoints").exists()


def test_the_chain_ends_with_the_report_and_jobs_say_so(disturbed: Disturbed) -> None:
    assert (disturbed.bench.root / "run" / "report.html").exists()
    assert {task["state"] for task in disturbed.tasks} == {"done"}
    assert sum(task["restarts"] for task in disturbed.tasks) >= 4
    ledger = json.loads((disturbed.bench.root / "run" / "report.json").read_text())["ledger"]
    assert ledger["job_restarts"] >= 4 and ledger["gpu_seconds"] == ledger["job_seconds"] > 0
    gpus = [json.loads(path.read_text())["gpus"] for path in disturbed.bench.attempts("cache-0")]
    assert set(gpus) == {1}
