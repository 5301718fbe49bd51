"""What manifest, listing and receipts cost at 10^9 samples in 10^5 shards: `python tests/benchmarks/batch_scale.py`.

Receipts are generated for 1,000, 10,000 and 100,000 shards (of 10,000 samples, three signals), for 1,000 tasks. CPU
seconds of this process; a shared file system adds a round trip for each file that is opened.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from opening import make_cache

from teachercache.cache import open_cache
from teachercache.cache.opening import note_receipts
from teachercache.pipeline.launching.division import numbers_text, shares
from teachercache.pipeline.launching.engine import Outlook
from teachercache.pipeline.launching.progress import job_progress
from teachercache.pipeline.launching.record import Job, read_job, write_job
from teachercache.pipeline.launching.spec import LaunchSpec
from teachercache.pipeline.launching.task import Array, Stage, Task

_TASKS = 1_000
_SIGNALS = ("logits", "embedding", "attention.5")


def main() -> None:
    """Print one line for each number of shards; those of the command line, or the three of the documentation."""
    for count in map(int, sys.argv[1:] or ("1000", "10000", "100000")):
        with TemporaryDirectory() as folder:
            print(f"{count:,} shards: " + ", ".join(f"{name} {figure}" for name, figure in _costs(Path(folder), count)))


def _costs(root: Path, count: int) -> list[tuple[str, str]]:
    cache = root / "run" / "cache"
    made = _seconds(lambda: make_cache(cache, count, _SIGNALS))
    (table := cache / "receipts.arrow").unlink(missing_ok=True)
    receipts = sum(path.stat().st_size for path in (cache / "receipts").iterdir())
    reading = _seconds(lambda: note_receipts(cache))
    opening = _seconds(lambda: open_cache(cache).missing())
    job = _job(root, cache, count)
    planning = _seconds(lambda: write_job(job))
    looking = _seconds(lambda: job_progress(read_job(job.folder), Outlook({}, True)))
    manifest = (cache / "manifest.json").stat().st_size
    return [
        ("manifest", f"{manifest / 1e6:.2f} MB"),
        ("receipts", f"{receipts / 1e6:.1f} MB"),
        ("table", f"{table.stat().st_size / 1e6:.1f} MB"),
        ("writing receipts", f"{1e3 * made / count:.2f} ms each"),
        ("table from receipts", f"{reading:.2f} s"),
        ("opening with missing shards", f"{opening:.2f} s"),
        ("record of the job", f"{planning:.2f} s"),
        ("jobs", f"{looking:.2f} s"),
    ]


def _job(root: Path, cache: Path, count: int) -> Job:
    texts = [numbers_text(share) for share in shares(range(count), _TASKS)]
    tasks = tuple(Task(("cache", "build", "--shards", text), str(cache), text) for text in texts)
    job = Job(
        root / "run" / "jobs" / "x", LaunchSpec(engine="slurm"), "r", "/", "python", 0.0,
        (Stage("cache", tasks, (Array(0, len(tasks)),)),),
    )  # fmt: skip
    job.attempts.mkdir(parents=True)
    for number in range(len(tasks)):
        (job.attempts / f"cache-{number}.0.00000000.finished").touch()
    return job


def _seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


if __name__ == "__main__":
    main()
