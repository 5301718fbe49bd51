"""100 shards over two nodes of a real Slurm, with 10 preemptions and 5 kill -9.

    python tests/benchmarks/batch_disturbed.py

Prints what was lost, doubled and redone. It needs what the tests marked `slurm` need, and takes minutes.
"""

import json
import os
import random
import signal
import sys
import time
from contextlib import suppress
from functools import partial
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "batch"))

from bench import Bench
from cluster import Cluster, slurm, until
from recipe import ROWS, write_recipe, write_shard

from teachercache.cache import open_cache
from teachercache.cache.keeping.verify import verify_cache

SHARDS, PREEMPTIONS, KILLS = 100, 10, 5
_PASS = 0.3  # seconds of the teacher for two of the eight rows of a shard


def main() -> None:
    """Build, disturb, count."""
    random.seed(0)
    with TemporaryDirectory() as folder, TemporaryDirectory() as own, slurm(Path(own)) as cluster:
        bench = _bench(Path(folder), cluster)
        started = time.monotonic()
        bench.call("cache", "build", bench.recipe)
        done = _disturb(bench, cluster)
        until(lambda: all(task["state"] == "done" for task in bench.tasks()), 900)
        seconds = time.monotonic() - started
        cache = open_cache(bench.root / "run" / "cache")
        index = [cache.reader(shard).index for shard in cache.shards]
        rows = [row for one in index for row in zip(one.ids.tolist(), one.views.tolist(), strict=True)]
        heard = bench.heard()
        redone = sum(ceil((heard[shard] - ROWS) / ROWS) for shard in range(SHARDS))
        print(json.dumps({**done, "seconds": round(seconds), "shards": len(cache.shards), "missing": cache.missing()}))
        print(f"rows {len(rows)}, lost {SHARDS * ROWS - len(set(rows))}, doubled {len(rows) - len(set(rows))}")
        print(f"shards redone {redone}, verified {not verify_cache(cache)}, rows heard {sum(heard.values())}")
        print(f"restarts {sum(task['restarts'] for task in bench.tasks())}, finite {_finite(cache)}")


def _bench(root: Path, cluster: Cluster) -> Bench:
    for folder in ("data", "heard"):
        (root / folder).mkdir()
    for number in range(SHARDS):
        write_shard(root / "data" / f"train-{number:02d}.tar", number)
    write_shard(root / "data" / "test-0.tar", 1000)
    launch = {"engine": "slurm", "partition": "low", "array": 4, "crashes": KILLS}
    recipe = write_recipe(root, root / "data", launch=launch)
    paths = os.pathsep.join([str(Path(__file__).parents[1] / "batch"), os.environ.get("PYTHONPATH", "")])
    more = {"TEACHER_HEARD": root / "heard", "TEACHER_PACE": root / "teacher-pace", "PYTHONPATH": paths}
    bench = Bench(root, recipe, {**cluster.environment, **{k: str(v) for k, v in more.items()}, "OMP_NUM_THREADS": "1"})
    bench.pace(teacher=_PASS)
    return bench


def _disturb(bench: Bench, cluster: Cluster) -> dict[str, int]:
    """Preempt and kill tasks that have heard something since their start, in random order. A preemption takes a node,
    and so one or two tasks."""
    array = json.loads((bench.job / "job.json").read_text())["stages"][0]["arrays"][0]["id"]
    killed, gone = 0, set[int]()
    while (preempted := len(bench.attempts("cache-?", "again"))) < PREEMPTIONS or killed < KILLS:
        task, pid = _some_task(bench, gone)
        if killed < KILLS and (preempted >= PREEMPTIONS or random.random() < 0.5):
            os.kill(pid, signal.SIGKILL)
            gone.add(pid)
            killed += 1
        else:
            node = cluster.call("squeue", "-h", "-j", f"{array}_{task[-1]}", "-o", "%N").strip()
            cluster.call("sbatch", "-p", "high", "-w", node, "-n2", "-o", "/dev/null", "--wrap", "sleep 1")
            with suppress(TimeoutError):
                until(partial(_more_preempted, bench, preempted), 40)
        print(f"{preempted} preempted, {killed} killed", file=sys.stderr)
    return {"preempted": preempted, "killed": killed}


def _more_preempted(bench: Bench, before: int) -> bool:
    return len(bench.attempts("cache-?", "again")) > before


def _some_task(bench: Bench, gone: set[int]) -> tuple[str, int]:
    """A task in the middle of its work, and its process."""
    while True:
        found = bench.attempts("cache-[0-3]", "running")
        for path in random.sample(found, len(found)):
            pid = int(json.loads(path.read_text())["pid"])
            heard = bench.root / "heard" / str(pid)
            if (
                pid not in gone
                and Path(f"/proc/{pid}").exists()
                and heard.exists()
                and len(heard.read_text().split()) >= 2 * ROWS
            ):
                return path.name.split(".")[0], pid
        time.sleep(0.2)


def _finite(cache: object) -> bool:
    return bool(np.isfinite(cache.read(np.arange(cache.rows)).signals["logits"]).all())  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
