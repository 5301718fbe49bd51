"""The directory of a job that is there, and what it still lacks."""

from ....cache import Cache, open_cache
from ....cache.grid.extension import publish_extension
from ....cache.opening import cache_exists
from ....cache.storage.address import open_store
from ...errors import StageError
from ..job import CacheJob


def missing_shards(job: CacheJob) -> list[str]:
    """Shards without a receipt, in source order. Raises StaleCacheError when the cache is another job's."""
    if not cache_exists(job.address):
        return list(job.source.shards())
    cache = standing_cache(job)
    missing = list(cache.missing())
    unnamed = [name for name in cache.manifest.signals if name not in job.asked.rectangle.signals]
    if missing and unnamed:
        raise StageError(
            f"cache.signals: {job.address} keeps {unnamed[0]} as well, and its {len(missing)} missing shards need it; "
            "name every signal of the cache, as it was named when the cache was begun"
        )
    return missing


def standing_cache(job: CacheJob) -> Cache:
    """The directory of this job, which is there; from now on it is a part of its cache, if it was none yet."""
    cache = open_cache(job.address, job.fingerprint, extensions=False)
    if job.extension:
        publish_extension(open_store(job.root), job.extension)
    return cache
