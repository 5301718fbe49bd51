"""`cache verify --teacher`: the teacher is asked again, and what the cache has kept is held against its answer."""

from ..cache.errors import DamagedCacheError
from ..stages.teacher.asking import ask_again
from ..stages.teacher.extension import member_jobs
from .building import cache_job
from .config import CacheConfig
from .console import console, progress_bar

_SHOWN = 10


def ask_teacher(config: CacheConfig, rows: int, seed: int) -> None:
    """Ask for `rows` random rows of each directory of the training cache. Raises DamagedCacheError for wrong rows."""
    for job in member_jobs(cache_job(config)):
        with progress_bar("asking the teacher", "rows") as bar:
            answer = ask_again(job, rows, seed, bar.update)
        for disagreement in answer.disagreements[:_SHOWN]:
            console.print(f"[red]wrong[/red] {disagreement}", soft_wrap=True)
        asked = f"{answer.rows} rows of {answer.batches} batches (--seed {seed})"
        if answer.disagreements:
            raise DamagedCacheError(
                f"{job.address}: {len(answer.disagreements)} of {answer.compared} values of {asked} are not what the "
                "teacher says. The bytes are as they were written, so the cache was built from something else, or "
                "this machine computes differently; build it anew under another cache.path and compare"
            )
        near = answer.compared - answer.equal
        console.print(
            f"[green]teacher[/green] {job.address}: asked again for {asked}; of {answer.compared} values "
            f"{answer.equal} are equal byte for byte, {near} as near as their codec can be",
            soft_wrap=True,
        )
