"""A build that was asked to stop, and what of it is kept: whole shards, nothing of the one in work."""

from collections.abc import Sequence

from ....cache.opening import cache_exists
from ...errors import Interrupted
from ..job import CacheJob
from .standing import standing_cache


class Stopped(Interrupted):
    """Asked to stop between two batches. What is kept can be counted when the writer is done."""


def kept(job: CacheJob, shards: Sequence[str]) -> str:
    """What stands of `shards`, in words, and what the same command does."""
    rows = _rows(job)
    whole = [shard for shard in shards if shard in rows]
    of = f"{len(whole):,} of {len(shards):,} shard{'s' if len(shards) != 1 else ''}"
    many = f"{sum(rows[shard] for shard in whole):,} rows kept" if whole else "no row is kept"
    left = "the others" if whole else "the first"
    return f"stopped with {of} whole ({many}) in {job.address}; the same command continues with {left}"


def _rows(job: CacheJob) -> dict[str, int]:
    """The rows of each finished shard."""
    if not cache_exists(job.address):
        return {}
    cache = standing_cache(job)
    return dict(zip(cache.shards, cache.row_counts.tolist(), strict=True))
