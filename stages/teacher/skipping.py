"""Samples that cannot be decoded, where the settings say to leave them out: found before a build, noted in receipts."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ...cache import Cache, open_cache
from ...cache.opening import cache_exists
from ...data import Source
from ...data.readable import ReadableSource
from ..left_out import left_out_samples
from .job import CacheJob

_MOST = 200  # characters of a reason in a receipt


def look_at_samples(job: CacheJob, shards: Sequence[str]) -> tuple[CacheJob, tuple[str, ...]]:
    """The job whose source leaves out what cannot be decoded in `shards`, and what to tell a person of it; the job
    itself where nothing is to be left out. Shards that stand in the cache already leave out what they did.

    Raises DataError when more cannot be decoded than source.skip_limit allows.
    """
    if not isinstance(job.source, ReadableSource):
        return job, ()
    source = job.source.looked_at(shards, job.policy.channels, _recorded(job, shards), max(1, job.teacher.workers))
    found = replace(job, source=source)
    if "teacher_identity" in job.__dict__:
        found.__dict__["teacher_identity"] = job.teacher_identity  # its files are hashed once
    names = [name for shard in shards for name in source.left_out.get(shard, ())]
    if not names:
        return found, ()
    shown = ", ".join(names[:5]) + (" ..." if len(names) > 5 else "")
    reasons = [reason for shard in shards for reason in source.reasons.get(shard, ())]
    first = f"; the first: {reasons[0]}" if reasons else ""
    return found, (f"left out, because they cannot be decoded: {len(names)} samples ({shown}){first}",)


def skipping_advice(source: Source) -> str:
    """What a person may set where a sample cannot be decoded, to follow the message that names it; "" where it is
    set."""
    if isinstance(source, ReadableSource):
        return ""
    return "; to leave out such samples, set source.on_error: skip, and source.skip_limit to the most that may be lost"


def as_recorded(source: Source, cache: Cache) -> Source:
    """The source as the finished shards of a cache were built from it."""
    if not isinstance(source, ReadableSource):
        return source
    return replace(source, left_out={shard: left_out_samples(cache, shard) for shard in cache.shards})


def noted(source: Source, shard: str) -> Mapping[str, list[str]]:
    """What a receipt says of the samples that are not in its shard; nothing where all are."""
    if not isinstance(source, ReadableSource) or not (names := source.left_out.get(shard, ())):
        return {}
    reasons = [reason[:_MOST] for reason in source.reasons.get(shard, ())]
    return {"left_out": list(names), **({"left_out_because": reasons} if reasons else {})}


def _recorded(job: CacheJob, shards: Sequence[str]) -> dict[str, tuple[str, ...]]:
    if not cache_exists(job.root):
        return {}
    cache = open_cache(job.root)
    finished = set(cache.shards)
    return {shard: left_out_samples(cache, shard) for shard in shards if shard in finished}
