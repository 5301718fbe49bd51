"""Phase one as the configuration asks for it: the training cache, then the held-out one."""

from collections.abc import Callable

from ..data import ViewPolicy, open_source
from ..stages.teacher.job import CacheJob
from ..stages.teacher.runner import BuildSummary, build_cache
from .config import Config
from .console import console, progress_bar
from .jobs import cache_root, check_splits, held_out_signals, held_out_views


def cache_job(config: Config, held_out: bool) -> CacheJob:
    """The job of one cache."""
    source = open_source(config.evaluate.source if held_out else config.source)
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
    """Build what is missing of both caches; `only` picks shards of the training cache."""
    jobs = [cache_job(config, held_out) for held_out in (False, True)]
    check_splits(jobs[0].source, jobs[1].source)
    return [_build(jobs[0], "teacher", stop, only), _build(jobs[1], "teacher, held-out", stop, lambda shard: True)]


def _build(job: CacheJob, title: str, stop: Callable[[], bool], only: Callable[[str], bool]) -> BuildSummary:
    with progress_bar(title, "rows") as bar:
        summary = build_cache(job, bar.update, stop, only)
    if summary.shards:
        rate = summary.rows / summary.seconds
        console.print(
            f"[green]cache[/green] {job.root}: {summary.shards} shards, {summary.rows:,} rows in "
            f"{summary.seconds:.1f} s ({rate:,.0f} rows/s, {summary.waited:.1f} s waiting for data)",
            soft_wrap=True,
        )
    else:
        console.print(f"[green]cache[/green] {job.root}: complete, {summary.standing} shards")
    return summary
