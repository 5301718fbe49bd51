"""Phase one as the configuration asks for it: the training cache, then the held-out one."""

from collections.abc import Callable

from ..data import ViewPolicy
from ..stages.teacher.extension import member_jobs
from ..stages.teacher.job import CacheJob
from ..stages.teacher.runner import BuildSummary, build_cache
from .config import Config
from .console import console, progress_bar
from .jobs import cache_root, check_splits, held_out_signals, held_out_views, source_of


def cache_job(config: Config, held_out: bool) -> CacheJob:
    """The job of one cache."""
    source = source_of(config.evaluate.source if held_out else config.source)
    views = held_out_views(config.views) if held_out else config.views
    return CacheJob(
        root=cache_root(config, held_out),
        source=source,
        policy=ViewPolicy(views),
        keep_pixels=views.keep_pixels,
        teacher=config.teacher,
        signals=held_out_signals(config) if held_out else dict(config.cache.signals),
        block=config.cache.block,
    )


def build_caches(
    config: Config, stop: Callable[[], bool], only: Callable[[str], bool] = lambda shard: True
) -> list[BuildSummary]:
    """Build what is missing of both caches and their extensions; `only` picks shards of the training cache.

    Raises SmallerCacheError when one of them would have to be extended.
    """
    jobs = [cache_job(config, held_out) for held_out in (False, True)]
    check_splits(jobs[0].source, jobs[1].source)
    train, held_out = (member_jobs(job) for job in jobs)
    return [build_member(job, "teacher", stop, only) for job in train] + [
        build_member(job, "teacher, held-out", stop) for job in held_out
    ]


def build_member(
    job: CacheJob, title: str, stop: Callable[[], bool], only: Callable[[str], bool] = lambda shard: True
) -> BuildSummary:
    """Build what is missing of one directory of a cache, and say what was done."""
    with progress_bar(title, "rows") as bar:
        summary = build_cache(job, bar.update, stop, only)
    for note in summary.notes:
        console.print(f"  {note}", soft_wrap=True)
    if summary.shards:
        rate = summary.rows / summary.seconds
        console.print(
            f"[green]cache[/green] {job.address}: {summary.shards} shards, {summary.rows:,} rows in "
            f"{summary.seconds:.1f} s ({rate:,.0f} rows/s, {summary.waited:.1f} s waiting for data)",
            soft_wrap=True,
        )
    else:
        console.print(f"[green]cache[/green] {job.address}: complete, {summary.standing} shards")
    return summary
