"""Teachers beside the main one: each is heard for the signals that begin with its name, on the same samples and views.

What one of them says is an extension of the cache, as `cache extend` makes it, so that each can be added, continued and
left out by itself. It refuses figures of theirs on held-out samples: those are the main teacher's.
"""

from collections.abc import Callable
from dataclasses import replace

from ...cache.opening import cache_exists
from ...cache.spec import SignalSpec
from ...stages.teacher.extension import member_jobs, plan_extensions, unfinished_members
from ...stages.teacher.job import CacheJob
from ...stages.teacher.runner import BuildSummary
from ..building import build_member, cache_job
from ..config import CacheConfig
from .teacher_names import owner


def other_jobs(config: CacheConfig) -> dict[str, CacheJob]:
    """The job of each other teacher that is heard, by name: its signals of the training cache."""
    main, found = cache_job(config), {}
    for name, spec in config.teachers.items():
        signals = _signals(config, name)
        if signals:
            found[name] = replace(main, teacher=spec, signals=signals, keep_pixels=False)
    return found


def build_other_teachers(
    config: CacheConfig, stop: Callable[[], bool], only: Callable[[str], bool] = lambda shard: True
) -> list[BuildSummary]:
    """Finish what was begun of the other teachers, then what is new; the main teacher's cache must have been begun."""
    jobs = other_jobs(config)
    if not jobs or not cache_exists(config.cache_path):
        return []
    return [summary for name, job in jobs.items() for summary in _build(name, job, stop, only)]


def _build(name: str, job: CacheJob, stop: Callable[[], bool], only: Callable[[str], bool]) -> list[BuildSummary]:
    todo = [plan.job for plan in (*unfinished_members(job), *plan_extensions(job))] or member_jobs(job)
    return [build_member(each, f"teacher {name}", stop, only) for each in todo]


def _signals(config: CacheConfig, name: str) -> dict[str, SignalSpec]:
    return {signal: spec for signal, spec in config.cache.signals.items() if owner(config, signal) == name}
