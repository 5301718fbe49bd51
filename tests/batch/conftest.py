"""A cluster for all tests of this folder, and runs on it. Tests marked `slurm` are skipped where there can be none."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bench import Bench, MakeBench
from cluster import Cluster, lacking, slurm
from recipe import write_recipe, write_shard


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A Slurm of two nodes. A folder with a short name: the path of a socket must not be long."""
    reason = lacking()
    if reason is not None:
        pytest.skip(reason)
    with slurm(tmp_path_factory.mktemp("s")) as running:
        yield running


@pytest.fixture(scope="module")
def make_bench(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> MakeBench:
    """make_bench(shards, broken=(), launch={}, **sections): data, a configuration and paces of their own."""

    def make(shards: int, broken: tuple[int, ...] = (), launch: dict[str, Any] | None = None, **more: Any) -> Bench:
        root = tmp_path_factory.mktemp("bench")
        for folder in ("data", "heard"):
            (root / folder).mkdir()
        for number in range(shards):
            write_shard(root / "data" / f"train-{number:02d}.tar", number, number in broken)
        write_shard(root / "data" / "test-0.tar", 1000)
        common = {"engine": "slurm", "partition": "low", "settle": 1, "time": "00:10:00"}
        recipe = write_recipe(root, root / "data", launch={**common, **(launch or {})}, **more)
        own = {"HEARD": "heard", "PACE": "teacher-pace"}
        environment = {**cluster.environment, **{f"TEACHER_{name}": str(root / file) for name, file in own.items()}}
        environment |= {"STUDENT_PACE": str(root / "student-pace"), "PYTHONPATH": _own_path(), "OMP_NUM_THREADS": "1"}
        bench = Bench(root, recipe, environment)
        bench.pace()
        return bench

    return make


def _own_path() -> str:
    return os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
