"""`cache verify --teacher`: every teacher is asked again, and what the cache has kept is held against its answer."""

from collections.abc import Mapping

from ...cache.errors import DamagedCacheError
from ...stages.teacher.asking import Answer, ask_again
from ...stages.teacher.extension import member_jobs
from ...stages.teacher.job import CacheJob
from ..building import cache_job
from ..config import CacheConfig
from ..console import console, progress_bar
from ..students.generations import within_reach
from ..teachers.other_teachers import other_jobs

_SHOWN = 10


def ask_teachers(config: CacheConfig, rows: int, seed: int) -> None:
    """Ask each teacher for `rows` random rows of each directory of the training cache that holds what it said, also of
    those that were added later.

    Raises DamagedCacheError for wrong rows when all teachers have been asked, naming those that say something else.
    """
    config, waiting = within_reach(config)
    for name in waiting:
        console.print(f"teachers.{name} is a student that is not trained yet, and was not asked")
    jobs: Mapping[str, CacheJob] = {"": cache_job(config), **other_jobs(config)}
    wrong = [line for name, job in jobs.items() for each in member_jobs(job) for line in _ask(name, each, rows, seed)]
    if wrong:
        raise DamagedCacheError(
            "; ".join(wrong) + ". The bytes are as they were written, so the cache was built from something else, or "
            "this machine computes differently; build it anew under another cache.path and compare"
        )


def _ask(name: str, job: CacheJob, rows: int, seed: int) -> list[str]:
    """Ask one teacher ("" for the main one) for rows of one directory; what is wrong with them, in a line or none."""
    who = f"teacher {name}" if name else "teacher"
    with progress_bar(f"asking {who if name else 'the teacher'}", "rows") as bar:
        answer = ask_again(job, rows, seed, bar.update)
    asked = f"{answer.rows} rows of {answer.batches} batches (--seed {seed})"
    if answer.disagreements:
        return [_tell_wrong(who if name else "the teacher", job, answer, asked)]
    near = answer.compared - answer.equal
    console.print(
        f"[green]{who}[/green] {job.address}: asked again for {asked}; of {answer.compared} values "
        f"{answer.equal} are equal byte for byte, {near} as near as their codec can be",
        soft_wrap=True,
    )
    return []


def _tell_wrong(who: str, job: CacheJob, answer: Answer, asked: str) -> str:
    """Print the first wrong rows; returns how many there are."""
    for disagreement in answer.disagreements[:_SHOWN]:
        console.print(f"[red]wrong[/red] {who}: {disagreement}", soft_wrap=True)
    return f"{job.address}: {len(answer.disagreements)} of {answer.compared} values of {asked} are not what {who} says"
