"""What a task costs beside its shards, and what `jobs` costs with 10,000 tasks.

    python tests/benchmarks/batch_overhead.py

CPU seconds of whole processes, so that other work on the machine matters little; each is the least of three.
"""

import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parents[1] / "batch"))

from opening import make_cache
from recipe import write_recipe, write_shard

from teachercache.pipeline.launching.engine import Outlook
from teachercache.pipeline.launching.progress import job_progress
from teachercache.pipeline.launching.record import Job, read_job, write_job
from teachercache.pipeline.launching.spec import LaunchSpec
from teachercache.pipeline.launching.task import Array, Stage, Task

_SHARDS, _TIMES, _MINUTE = 17, 3, 60.0
_TASKS = 10_000


def main() -> None:
    """Print the figures."""
    with TemporaryDirectory() as folder:
        one, many = (min(_task_seconds(Path(folder), shards) for _ in range(_TIMES)) for shards in (1, _SHARDS))
        each = (many - one) / (_SHARDS - 1)
        start = one - each
        print(f"a task: {start:.2f} s to start and end, {each:.3f} s for each shard of 8 rows")
        for shards in (1, 4, 5, 8):
            print(f"  {shards} shards of a minute: {100 * start / (shards * _MINUTE + start):.1f} % is not the shards")
    with TemporaryDirectory() as folder:
        print(f"jobs, {_TASKS:,} tasks: {min(_jobs_seconds(Path(folder)) for _ in range(_TIMES)):.2f} s")


def _task_seconds(root: Path, shards: int) -> float:
    """CPU seconds of a task that builds so many shards, as an array runs it."""
    data = root / "data"
    if not data.exists():
        data.mkdir()
        for number in range(_SHARDS):
            write_shard(data / f"train-{number:02d}.tar", number)
        write_shard(data / "test-0.tar", 1000)
    run = root / f"{shards}-{time.monotonic_ns()}"
    recipe = write_recipe(run, data)
    words = ["cache", "build", recipe, "--part", "training", "--checked", "--shards", f"0-{shards - 1}"]
    paths = os.pathsep.join([str(Path(__file__).parents[1] / "batch"), os.environ.get("PYTHONPATH", "")])
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-m", "teachercache", *map(str, words)],
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _jobs_seconds(root: Path) -> float:
    """CPU seconds of what `teachercache jobs` does for a job of one shard a task. All are built; a tenth of the starts
    left no word."""
    cache, folder = root / "run" / "cache", root / "run" / "jobs" / "x"
    if not folder.exists():
        make_cache(cache, _TASKS, ("logits",))
        tasks = tuple(Task(("cache", "build", "--shards", str(n)), str(cache), str(n)) for n in range(_TASKS))
        stage = Stage("cache", tasks, (Array(0, _TASKS, "1"),))
        job = Job(folder, LaunchSpec(engine="slurm"), "r", "/", "python", 0.0, (stage,))
        job.attempts.mkdir(parents=True)
        write_job(job)
        for number in range(_TASKS):
            ending = "finished" if number < 9 * _TASKS // 10 else "running"
            (job.attempts / f"cache-{number}.0.00000000.{ending}").touch()
    started = time.process_time()
    found = job_progress(read_job(folder), Outlook({}, True))
    assert len(found) == _TASKS
    return time.process_time() - started


if __name__ == "__main__":
    main()
