"""Phase one as the configuration asks for it: the training cache, then the held-out one where there are students."""

from collections.abc import Callable, Mapping

from ..data import Source, ViewPolicy
from ..data.spec import SourceSpec
from ..stages.teacher.extension import member_jobs
from ..stages.teacher.job import CacheJob
from ..stages.teacher.privacy.key import KEY_FILE
from ..stages.teacher.runner import BuildSummary, build_cache
from .config import CacheConfig, Config
from .console import console, counted, progress_bar
from .jobs import (
    check_held_out,
    held_out_signals,
    held_out_views,
    judging_sources,
    open_training,
    set_field,
    source_of,
)
from .teachers.teacher_names import main_signals


def cache_job(config: CacheConfig) -> CacheJob:
    """The job of the training cache, as far as the main teacher is heard for it."""
    return CacheJob(
        root=config.cache_path,
        source=source_of(config.source),
        policy=ViewPolicy(config.views),
        keep_pixels=config.views.keep_pixels,
        teacher=config.teacher,
        signals=main_signals(config),
        block=config.cache.block,
        share=config.launch.share_of("cache"),
        key=config.run / KEY_FILE,
    )


def held_out_jobs(config: Config) -> dict[str, CacheJob]:
    """The jobs of the held-out caches by the name of their set, the main one first, then those of prompts."""
    return {name: _held_out_job(config, name, spec) for name, spec in judging_sources(config).items()}


def _held_out_job(config: Config, name: str, spec: SourceSpec) -> CacheJob:
    views, source, teacher = held_out_views(config.views), source_of(spec), config.teacher
    if name in config.evaluate.prompts:  # texts alone: the teacher's other inputs are not there
        inputs = {key: field for key, field in teacher.inputs.items() if field in source.kinds}
        teacher = teacher.model_copy(update={"inputs": inputs})
    return CacheJob(
        root=config.set_path(name),
        source=source,
        policy=ViewPolicy(views),
        keep_pixels=views.keep_pixels and "image" in source.kinds,
        teacher=teacher,
        signals=held_out_signals(config, name),
        block=config.cache.block,
        share=config.launch.share_of("cache"),
    )


def check_sets(config: Config, train: Source, jobs: Mapping[str, CacheJob]) -> None:
    """Raise StageError when a held-out sample is also trained on, or their classes are numbered differently."""
    for name, job in jobs.items():
        if name not in config.evaluate.prompts:
            check_held_out(train, job.source, set_field(config, name))


def cache_jobs(config: CacheConfig) -> list[CacheJob]:
    """The job of the training cache, and those of the held-out ones where the configuration has students.

    Raises StageError when a held-out sample is also trained on, or their classes are numbered differently.
    """
    if not isinstance(config, Config):
        return [cache_job(config)]
    train, held_out = cache_job(config), held_out_jobs(config)
    check_sets(config, train.source, held_out)
    return [train, *held_out.values()]


def build_caches(
    config: CacheConfig, stop: Callable[[], bool], only: Callable[[str], bool] = lambda shard: True
) -> list[BuildSummary]:
    """Build what is missing of the caches and their extensions; `only` picks shards of the training cache.

    Raises SmallerCacheError when one of them would have to be extended.
    """
    if config.cache.given:
        return _build_held_out(config, stop)
    train, *held_out = (member_jobs(job) for job in cache_jobs(config))
    from .teachers.other_teachers import build_other_teachers

    built = [build_member(job, "teacher", stop, only) for job in train] + build_other_teachers(config, stop, only)
    return built + [build_member(job, "teacher, held-out", stop) for jobs in held_out for job in jobs]


def _build_held_out(config: CacheConfig, stop: Callable[[], bool]) -> list[BuildSummary]:
    """Where the training cache is given, it must stand, and the teacher is heard on the held-out samples alone."""
    open_training(config)
    console.print(f"[green]cache[/green] {config.cache_path}: given, and complete", soft_wrap=True)
    held_out = cache_jobs(config)[1:]
    return [build_member(job, "teacher, held-out", stop) for one in held_out for job in member_jobs(one)]


def build_member(
    job: CacheJob,
    title: str,
    stop: Callable[[], bool],
    only: Callable[[str], bool] = lambda shard: True,
    checked: bool = False,
) -> BuildSummary:
    """Build what is missing of one directory of a cache, and say what was done."""
    with progress_bar(title, "rows") as bar:
        summary = build_cache(job, bar.update, stop, only, checked)
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
