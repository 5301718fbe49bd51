"""A part of phase one, as one task of many builds it: some shards of the training cache, or of a held-out one.

A shard that cannot be built is named at the end, and the others are built all the same: a task of many hours is not
lost to one broken image. What is wrong with more than a shard (a full disk, a teacher that cannot be loaded) ends it at
once.
"""

from collections.abc import Callable, Sequence

from ..data.errors import DataError
from ..stages.errors import StageFailed
from ..stages.teacher.extension import member_jobs
from ..stages.teacher.job import CacheJob
from ..stages.teacher.running.standing import missing_shards
from .building import build_member, cache_job, cache_jobs, held_out_jobs
from .config import CacheConfig, Config
from .errors import ConfigError
from .keeping.shard_choice import named_shards
from .teachers.other_teachers import build_other_teachers

TRAINING = "training"  # the part that is the training cache; the others have the names of held-out sets
Build = Callable[[Sequence[str]], object]


def build_part(config: CacheConfig, part: str, shards: str | None, checked: bool, stop: Callable[[], bool]) -> None:
    """Build what is missing of a part; `shards` are names or numbers of its own source. Where whoever started this
    task has `checked` already that no sample is in two shards, or held out and trained on, only the task's own shards
    are opened.

    Raises ConfigError for a part and for shards that there are not, all that `build_cache` raises, and StageFailed
    naming the shards that could not be built.
    """
    job = _job(config, part, checked)
    names = list(job.source.shards())
    chosen = set(names) if shards is None else named_shards(names, shards)
    for member in member_jobs(job):
        _build(member, "teacher" if part == TRAINING else f"teacher, {part}", chosen, checked, stop)
    if part == TRAINING:
        build_other_teachers(config, stop, chosen.__contains__)


def build_each(shards: Sequence[str], build: Build, lacking: Callable[[], Sequence[str]]) -> dict[str, Exception]:
    """`build(shards)`; when one of them fails, the others as well. `lacking()` are those still missing, in order. The
    failed ones, each with its error."""
    failed: dict[str, Exception] = {}
    while todo := [shard for shard in lacking() if shard in shards and shard not in failed]:
        try:
            build(todo)
            return failed
        except (DataError, StageFailed) as error:
            left = [shard for shard in lacking() if shard in todo]
            failed |= _first_failure(left, build) or {(left or todo)[0]: error}
    return failed


def _first_failure(shards: Sequence[str], build: Build) -> dict[str, Exception]:
    """Build one after the other until the one that fails is found."""
    for shard in shards:
        try:
            build([shard])
        except (DataError, StageFailed) as error:
            return {shard: error}
    return {}


def _build(job: CacheJob, title: str, chosen: set[str], checked: bool, stop: Callable[[], bool]) -> None:
    def build(shards: Sequence[str]) -> None:
        build_member(job, title, stop, set(shards).__contains__, checked)

    if not checked:  # every shard's header is read first, and one that is broken ends the build before it begins
        build(sorted(chosen))
        return
    order = [shard for shard in job.source.shards() if shard in chosen]
    failed = build_each(order, build, lambda: missing_shards(job))
    if failed:
        reasons = "\n  ".join(f"{shard}: {error}" for shard, error in failed.items())
        raise StageFailed(f"{job.address}: {len(failed)} of {len(order)} shards could not be built:\n  {reasons}")


def _job(config: CacheConfig, part: str, checked: bool) -> CacheJob:
    if not checked:
        cache_jobs(config)  # raises what is wrong with all of them together
    if part == TRAINING:
        return cache_job(config)
    held_out = held_out_jobs(config) if isinstance(config, Config) else {}
    if part not in held_out:
        known = ", ".join([TRAINING, *held_out])
        raise ConfigError(f"--part: {part!r} is no part of the configuration; there are {known}")
    return held_out[part]
