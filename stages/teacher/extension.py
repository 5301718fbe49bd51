"""Which jobs finish the members of a cache, and which new extensions would hold what it lacks."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ...cache import Rectangle, SignalSchema, open_cache
from ...cache.format.document import digest
from ...cache.grid.asked import fitting_members, require_all
from ...cache.grid.member import Member
from ...cache.grid.missing import missing_rectangles
from ...cache.opening import cache_exists, open_members
from .job import CacheJob


@dataclass(frozen=True, slots=True)
class ExtensionPlan:
    """A part that a cache lacks, and the job that computes it into an extension."""

    part: Rectangle
    job: CacheJob


def member_jobs(job: CacheJob) -> list[CacheJob]:
    """One job for each directory of the cache that has to do with `job`; `job` itself when there is no cache yet.

    Raises StaleCacheError when the cache was built from something else, SmallerCacheError when it lacks a part.
    """
    if not cache_exists(job.root):
        return [job]
    members = fitting_members(open_members(job.root), job.asked)
    require_all(members, job.asked)
    return [job.restricted(_asked_of(job, it), it.name) for it in members if _has_to_do(job, it)]


def plan_extensions(job: CacheJob) -> list[ExtensionPlan]:
    """What the cache lacks, in disjoint parts: no row goes through the teacher twice.

    Raises CacheError when there is no cache, StaleCacheError when it was built from something else.
    """
    members = open_members(job.root)
    fitting = fitting_members(members, job.asked)
    parts = missing_rectangles([member.rectangle for member in fitting], job.asked.rectangle)
    first = 1 + max((int(member.name.partition("-")[0]) for member in members if member.name), default=0)
    return [_plan(job, number, part) for number, part in enumerate(parts, first)]


def unfinished_members(job: CacheJob) -> list[ExtensionPlan]:
    """What was begun and is not finished: the base and extensions, in the order in which they were begun, each with the
    shards that it still lacks, and the job that finishes it."""
    found = []
    for member in fitting_members(open_members(job.root), job.asked):
        missing = member.missing()
        if missing and _has_to_do(job, member):
            asked = _asked_of(job, member)
            found.append(ExtensionPlan(replace(asked, shards=missing), job.restricted(asked, member.name)))
    return found


def as_it_stands(job: CacheJob, schemas: Mapping[str, SignalSchema]) -> dict[str, SignalSchema]:
    """The schemas of an extension, with signals that the cache has already as it has them: older caches keep topk
    without its entropy, and members of one cache must agree."""
    standing = open_cache(job.root).manifest.signals if job.extension else {}
    kept = {name: standing[name].parameters for name in schemas if name in standing}
    return {
        name: replace(schema, parameters=kept[name]) if schema.codec == "topk" and name in kept else schema
        for name, schema in schemas.items()
    }


def _asked_of(job: CacheJob, member: Member) -> Rectangle:
    return member.rectangle.of_signals(job.asked.rectangle.signals)


def _has_to_do(job: CacheJob, member: Member) -> bool:
    """Whether the member is this teacher's and has signals that are asked for; pixels alone may be another's."""
    teacher = member.manifest.fingerprint.get("teacher")
    return bool(_asked_of(job, member).signals) and teacher == job.teacher_identity


def _plan(job: CacheJob, number: int, part: Rectangle) -> ExtensionPlan:
    """The name says the order in which extensions were begun, and their content: two builders of one meet in it."""
    name = f"{number:03d}-{digest(job.restricted(part, '').fingerprint)[:12]}"
    return ExtensionPlan(part, job.restricted(part, name))
