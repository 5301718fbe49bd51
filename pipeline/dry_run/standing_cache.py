"""What a dry run says of the cache that stands already, and reads from it: signals of another configuration."""

from ...cache import Cache, SmallerCacheError
from ...cache.opening import cache_exists
from ...cache.spec import SignalSpec
from ...stages.student.stream.join import Join
from ...stages.teacher.extension import member_jobs
from ...stages.teacher.job import CacheJob
from ..config import Config
from ..jobs import open_joined


def heard(job: CacheJob) -> dict[str, SignalSpec]:
    """The signals that a teacher can be asked for: not those that `cache recode` made of a cache that stands."""
    standing = cache_exists(job.root)
    return {name: spec for name, spec in job.signals.items() if spec.codec != "pca" or not standing}


def standing_notes(job: CacheJob) -> tuple[str, ...]:
    """What the cache of a job lacks, in words. Raises StaleCacheError when it was built from something else."""
    if not cache_exists(job.root):
        return ()
    try:
        member_jobs(job)
    except SmallerCacheError as error:
        return (str(error),)
    return ()


def cache_to_try(config: Config, job: CacheJob, tried: Cache, needed: tuple[str, ...]) -> tuple[Cache, Join]:
    """The cache that students take their first steps on: the one just tried (`job`'s, of a few samples), or the one
    that stands when they need signals that only an extension of it has."""
    elsewhere = [name for name in needed if name not in tried.signals]
    if elsewhere and cache_exists(config.cache_path):
        cache, join = open_joined(config)
        if set(elsewhere) <= set(cache.signals):
            return cache, join
    return tried, Join(tried, job.source, job.policy)
