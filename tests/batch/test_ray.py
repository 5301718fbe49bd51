"""Tasks on a Ray cluster that exists, whose workers are killed: the run ends as one that nobody touched."""

import importlib.util
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench import Bench
from cluster import until
from recipe import ROWS, write_recipe, write_shard

from teachercache.cache import open_cache
from teachercache.cache.keeping.verify import verify_cache

pytestmark = [
    pytest.mark.ray,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed: pip install '.[ray]'"),
]
SHARDS = 4
CLUSTER = """
import sys, ray
found = ray.init("local", num_cpus=4, num_gpus=2, include_dashboard=False, object_store_memory=80_000_000)
print("cluster", found.address_info["gcs_address"], flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A run whose configuration names Ray and no address, beside a cluster of four cores and two made-up GPUs."""
    root = tmp_path_factory.mktemp("ray")
    for folder in ("data", "heard"):
        (root / folder).mkdir()
    for number in range(SHARDS):
        write_shard(root / "data" / f"train-{number}.tar", number)
    write_shard(root / "data" / "test-0.tar", 1000)
    launch = {"engine": "ray", "array": 2, "settle": 1, "gpus": {"cache": 0.5, "train": 0.5, "evaluate": 0}}
    recipe = write_recipe(root, root / "data", launch=launch)
    files = {"TEACHER_HEARD": "heard", "TEACHER_PACE": "teacher-pace", "STUDENT_PACE": "student-pace"}
    own = {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])}
    own |= {"OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0", "RAY_raylet_start_wait_time_s": "600"}
    own |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}  # else Ray makes one in the home folder
    own |= {name: str(root / file) for name, file in files.items()}
    temporary = tempfile.mkdtemp(prefix="ray", dir="/tmp")  # the path of a socket must not be long
    environment = {**os.environ, **own, "RAY_TMPDIR": temporary}
    with subprocess.Popen(
        [sys.executable, "-c", CLUSTER], env=environment, stdin=-1, stdout=-1, stderr=subprocess.DEVNULL, text=True
    ) as cluster:
        assert cluster.stdin is not None and cluster.stdout is not None
        address = next((line.split()[1] for line in cluster.stdout if line.startswith("cluster ")), None)
        if address is None:
            pytest.skip("Ray is installed, and cannot start a cluster here")
        found = Bench(root, recipe, {**environment, "RAY_ADDRESS": address})
        try:
            found.pace()
            yield found
        finally:
            found.close()
            cluster.stdin.close()
            cluster.wait(60)
            shutil.rmtree(temporary, ignore_errors=True)


@dataclass(frozen=True)
class Killed:
    """A finished run, what `jobs` said in the middle of its cache, and the folder of a run that nobody disturbed."""

    bench: Bench
    amid: list[dict[str, Any]]
    reference: Path


@pytest.fixture(scope="module")
def killed(bench: Bench) -> Killed:
    """Killed with -9 in the middle of a shard: the worker of one task of the cache, and the process of the other."""
    bench.pace(rows=4)
    build = bench.begin("cache", "build", bench.recipe)
    first, second = bench.working("cache-0", 4), bench.working("cache-1", 4)
    amid = bench.tasks()
    os.kill(_parent(first), signal.SIGKILL)
    os.kill(second, signal.SIGKILL)
    until(lambda: all(len(bench.attempts(f"cache-{task}")) > 1 for task in (0, 1)))
    bench.pace()
    said = build.communicate(timeout=900)[0]
    assert build.returncode == 0, said
    alone = bench.root / "alone.yaml"
    alone.write_text(bench.recipe.read_text().replace(str(bench.root / "run"), str(bench.root / "reference")))
    bench.environment.pop("TEACHER_HEARD")
    bench.call("cache", "build", alone, "--launch", "inline")
    return Killed(bench, amid, bench.root / "reference")


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_no_row_is_lost_or_doubled(killed: Killed) -> None:
    for name in ("cache", "cache-held-out"):
        cache, expected = (open_cache(root / name) for root in (killed.bench.root / "run", killed.reference))
        assert cache.missing() == () and verify_cache(cache) == [] and cache.rows == expected.rows
        rows = np.arange(cache.rows)
        found, wanted = cache.read(rows), expected.read(rows)
        np.testing.assert_array_equal(found.ids, wanted.ids)
        np.testing.assert_array_equal(found.signals["logits"], wanted.signals["logits"])


def test_a_shard_at_most_is_done_again_for_each_that_was_killed(killed: Killed) -> None:
    heard = killed.bench.heard()
    assert all(heard[shard] >= ROWS for shard in range(SHARDS))
    assert sum(heard[shard] for shard in range(SHARDS)) <= (SHARDS + 3) * ROWS, heard  # the first rows begin the cache


def test_the_starts_are_recorded_and_the_task_that_lost_its_process_too(killed: Killed) -> None:
    endings = [path.suffix for path in killed.bench.attempts("cache-1")]
    assert ".running" in endings and ".finished" in endings  # kill -9 leaves a record without an end
    assert ".finished" in [path.suffix for path in killed.bench.attempts("cache-0")]


def test_jobs_knows_while_it_runs_and_afterwards(killed: Killed) -> None:
    assert [task["state"] for task in killed.amid[:2]] == ["running", "running"]
    assert {task["state"] for task in killed.bench.tasks()} == {"done"}


def test_students_of_half_a_gpu_each_equal_those_that_trained_alone(killed: Killed) -> None:
    killed.bench.call("train", killed.bench.recipe)
    killed.bench.call("train", killed.bench.root / "alone.yaml", "--launch", "inline")
    for seed in (0, 1):
        trial = f"students/slow/distilled/seed-{seed}/student.safetensors"
        assert (killed.bench.root / "run" / trial).read_bytes() == (killed.reference / trial).read_bytes()
    gpus = [json.loads(path.read_text())["gpus"] for path in killed.bench.attempts("train-0")]
    assert gpus == [0.5]


def test_a_command_that_is_cancelled_stops_its_tasks_and_continues_later(bench: Bench) -> None:
    """On a cluster of its own, which ends with the command."""
    again = bench.root / "again.yaml"
    again.write_text(bench.recipe.read_text().replace(str(bench.root / "run"), str(bench.root / "b" / "run")))
    other = Bench(bench.root / "b", again, {**bench.environment, "TEACHER_HEARD": str(bench.root / "b" / "heard")})
    (other.root / "heard").mkdir(parents=True)
    bench.pace(rows=12)  # in the middle of the second shard
    again.write_text(again.read_text().replace("engine: ray", "engine: ray\n  address: local"))
    assert "asks for 0.5 GPUs, and no machine" in other.call("cache", "build", again, code=2)
    again.write_text(again.read_text().replace("cache: 0.5", "cache: 0"))
    build = other.begin("cache", "build", again)
    task = other.working("cache-0", 12)
    other.call("jobs", again, "--cancel")
    said = build.communicate(timeout=300)[0]
    assert build.returncode == 75 and "the same command continues" in said, said
    until(lambda: not Path(f"/proc/{task}").exists())  # the signal ends its waiting, and no other pace
    bench.pace()
    assert {path.suffix for path in other.attempts("cache-0")} == {".again"}
    other.call("cache", "build", again, "--launch", "inline")
    assert open_cache(other.root / "run" / "cache").missing() == ()


def test_a_cluster_that_is_not_there_is_said_in_one_line(bench: Bench) -> None:
    environment = {**bench.environment, "RAY_ADDRESS": "127.0.0.1:1"}
    other = Bench(bench.root / "nowhere", bench.root / "nowhere.yaml", environment)
    other.recipe.write_text(bench.recipe.read_text().replace(str(bench.root / "run"), str(other.root / "run")))
    said = other.call("cache", "build", other.recipe, code=2)
    assert "no Ray cluster answers at 127.0.0.1:1" in said and "Traceback" not in said
