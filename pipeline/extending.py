"""Extending a cache: finds what the configuration asks for and the cache lacks, says what it costs, and computes it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.table import Table

from ..cache import StaleCacheError, open_cache
from ..cache.format.schema import SignalSchema
from ..cache.opening import cache_exists, open_members
from ..data import check_ids
from ..stages.teacher.extension import ExtensionPlan, member_jobs, plan_extensions, unfinished_members
from ..stages.teacher.job import CacheJob
from ..stages.teacher.runner import BuildSummary, build_cache
from .building import build_member, cache_jobs
from .config import CacheConfig
from .console import console
from .dry_run.samples import FewSamples
from .keeping.inspection_table import size_text
from .teachers.other_teachers import other_jobs

_SAMPLES = 2


@dataclass(frozen=True, slots=True)
class Extending:
    """What one cache lacks: what was begun and is not finished, then what is new. `rows` and `bytes` are by part: rows
    to compute, and their bytes without the row index."""

    job: CacheJob
    plans: tuple[ExtensionPlan, ...]
    rows: tuple[int, ...]
    bytes: tuple[int, ...]


def extend_caches(config: CacheConfig, stop: Callable[[], bool], dry_run: bool = False) -> list[BuildSummary]:
    """Compute what the configuration asks for and its caches lack, into extensions; shards that stand are not touched.

    Raises CacheError when there is no training cache, StaleCacheError when it was built from something else.
    """
    jobs, others = cache_jobs(config), other_jobs(config).values()
    check_ids(jobs[0].source)  # a new shard must not name a sample that an old one names
    found = [plan for plan in (_plan(jobs[0]), *map(_plan, others), *map(_plan_held_out, jobs[1:])) if plan is not None]
    for extending in found:
        _tell(extending)
    if dry_run:
        return []
    return [summary for extending in found for summary in _extend(extending, stop)]


def _extend(extending: Extending, stop: Callable[[], bool]) -> list[BuildSummary]:
    """Finish every member, those that were begun first."""
    todo = [plan.job for plan in extending.plans]
    done = [build_member(job, _title(job), stop) for job in todo]
    names = {job.extension for job in todo}
    rest = [job for job in member_jobs(extending.job) if job.extension not in names]
    return done + [build_member(job, _title(job), stop) for job in rest]


def _title(job: CacheJob) -> str:
    return f"extension {job.extension}" if job.extension else "teacher"


def _plan(job: CacheJob) -> Extending:
    plans = (*unfinished_members(job), *plan_extensions(job))
    rows = tuple(sum(len(job.source.open(shard)) for shard in it.part.shards) * it.part.count for it in plans)
    schemas = _schemas(job, plans)
    sizes = [sum(schemas[name].row_bytes() for name in plan.part.signals) for plan in plans]
    return Extending(job, plans, rows, tuple(count * size for count, size in zip(rows, sizes, strict=True)))


def _plan_held_out(job: CacheJob) -> Extending | None:
    """The same of the held-out cache, which may not be there yet, or be another teacher's: then it is left alone."""
    if not cache_exists(job.root):
        return None
    try:
        return _plan(job)
    except StaleCacheError:
        console.print(f"{job.root}: the held-out cache was built from something else and is left as it is")
        return None


def _schemas(job: CacheJob, plans: tuple[ExtensionPlan, ...]) -> Mapping[str, SignalSchema]:
    """Schemas of the signals that are lacking: those of the cache, and for new ones what two samples give."""
    lacking = {name for plan in plans for name in plan.part.signals}
    known = {name: it for member in open_members(job.root) for name, it in member.manifest.signals.items()}
    if lacking <= set(known):
        return known
    with TemporaryDirectory(prefix="teachercache-extend-") as folder:
        plan = next(plan for plan in plans if not set(plan.part.signals) <= set(known))
        few = FewSamples(plan.job.source, _SAMPLES)
        tried = replace(plan.job, root=Path(folder) / "cache", extension="", source=few)
        build_cache(tried)
        return {**known, **open_cache(tried.root).manifest.signals}


def _tell(extending: Extending) -> None:
    root = extending.job.root
    if not extending.plans:
        console.print(f"[green]cache[/green] {root}: holds all that the configuration asks for", soft_wrap=True)
        return
    table = Table(title=f"{root}: to be computed", title_justify="left")
    for column in ("extension", "shards", "views", "signals", "rows", "bytes"):
        table.add_column(column, justify="right" if column in ("rows", "bytes") else "left")
    for plan, rows, size in zip(extending.plans, extending.rows, extending.bytes, strict=True):
        part = plan.part
        shards = (
            part.shards[0] if len(part.shards) == 1 else f"{len(part.shards)}: {part.shards[0]} to {part.shards[-1]}"
        )
        views = f"{part.first}" if part.count == 1 else f"{part.first}-{part.end - 1}"
        table.add_row(
            plan.job.extension or "(base)", shards, views, " ".join(part.signals), f"{rows:,}", size_text(size)
        )
    console.print(table)
