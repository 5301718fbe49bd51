"""Phase one as the configuration asks for it: the training cache, then the held-out one where there are students."""

from collections.abc import Callable

from ..data import ViewPolicy
from ..stages.teacher.extension import member_jobs
from ..stages.teacher.job import CacheJob
from ..stages.teacher.runner import BuildSummary, build_cache
from .config import CacheConfig, Config
from .console import console, counted, progress_bar
from .jobs import check_held_out, held_out_signals, held_out_views, source_of


def cache_job(config: CacheConfig) -> CacheJob:
    """The job of the training cache."""
    return CacheJob(
        root=config.cache_path,
        source=source_of(config.source),
        policy=ViewPolicy(config.views),
        keep_pixels=config.views.keep_pixels,
        teacher=config.teacher,
        signals=dict(config.cache.signals),
        block=config.cache.block,
    )


def held_out_job(config: Config) -> CacheJob:
    """The job of the held-out cache."""
    views = held_out_views(config.views)
    return CacheJob(
        root=config.held_out_path,
        source=source_of(config.evaluate.source),
        policy=ViewPolicy(views),
        keep_pixels=views.keep_pixels,
        teacher=config.teacher,
        signals=held_out_signals(config),
        block=config.cache.block,
    )


def cache_jobs(config: CacheConfig) -> list[CacheJob]:
    """The job of the training cache, and that of the held-out one where the configuration has students.

    Raises StageError when a held-out sample is also trained on, or their classes are numbered differently.
    """
    if not isinstance(config, Config):
        return [cache_job(config)]
    jobs = [cache_job(config), held_out_job(config)]
    check_held_out(jobs[0].source, jobs[1].source)
    return jobs


def build_caches(
    config: CacheConfig, stop: Callable[[], bool], only: Callable[[str], bool] = lambda shard: True
) -> list[BuildSummary]:
    """Build what is missing of the caches and their extensions; `only` picks shards of the training cache.

    Raises SmallerCacheError when one of them would have to be extended.
    """
    train, *held_out = (member_jobs(job) for job in cache_jobs(config))
    return [build_member(job, "teacher", stop, only) for job in train] + [
        build_member(job, "teacher, held-out", stop) for jobs in held_out for job in jobs
    ]


def build_member(
    job: CacheJob, title: str, stop: Callable[[], bool], only: Callable[[str], bool] = lambda shard: True
) -> BuildSummary:
    """Build what is missing of one directory of a cache, and say what was done."""
    with progress_bar(title, "rows") as bar:
        summary = build_cache(job, bar.update, stop, only)
    for note in summary.notes:
        console.print(f"  {note}", soft_wrap=True)
    if summary.lost:
        lost = counted(len(summary.lost), "shard that", "shards that")
        console.print(f"  {lost} another builder finished first: {', '.join(summary.lost[:5])}", soft_wrap=True)
    if summary.shards:
        console.print(
            f"[green]cache[/green] {job.address}: {counted(summary.shards, 'shard')}, "
            f"{counted(summary.rows, 'row')} in {summary.seconds:.1f} s with loading "
            f"({summary.pace.rate:,.0f} rows/s without)",
            soft_wrap=True,
        )
        for line in (summary.pace.line(), *summary.pace.remarks):
            console.print(f"  {line}", soft_wrap=True)
    else:
        there = summary.standing + len(summary.lost)
        console.print(f"[green]cache[/green] {job.address}: complete, {counted(there, 'shard')}")
    return summary
