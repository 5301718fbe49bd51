"""A cache is begun when the first rows were heard: only they tell the signals' shapes."""

from collections.abc import Mapping
from dataclasses import replace

from ....cache import Manifest, create_cache
from ....cache.format.schema import SignalSchema
from ...class_order import check_teacher
from ...versions import library_versions
from ..extension import as_it_stands
from ..families.adapter import Adapter
from ..inputs.batch import PreparedBatch
from ..job import CacheJob
from ..privacy.release import release_of
from ..signals.attention_size import attention_notes
from ..signals.constants import host_constants
from ..signals.encoding import check_first, measure_errors
from ..signals.signal_schema import Heard


def begin_cache(
    job: CacheJob, teacher: Adapter, first: PreparedBatch, heard: Mapping[str, Heard], longest: int | None
) -> tuple[str, ...]:
    """Create the cache of `job`; returns notes for people. `heard` is what the teacher said of the rows of `first`.

    Raises StageError for signals that cannot be kept, StageFailed for one that is NaN; then nothing was published.
    """
    check_teacher(job.source.classes, teacher.classes(), job.signals)  # a module knows them only now
    schemas = as_it_stands(job, job.schemas(heard, longest))
    check_first(first, heard, schemas)
    notes, release = attention_notes(schemas.values(), teacher.config), release_of(job)
    errors = measure_errors(heard, schemas)
    schemas = {name: replace(schema, error=errors.get(name, {})) for name, schema in schemas.items()}
    manifest = replace(_manifest(job, schemas, teacher), privacy=() if release is None else (release,))
    create_cache(job.address, manifest, host_constants(heard, teacher.constants()))
    return notes if release is None else (*notes, f"private: {release}")


def _manifest(job: CacheJob, schemas: Mapping[str, SignalSchema], teacher: Adapter) -> Manifest:
    name = job.teacher.use or job.teacher.student or job.teacher.model
    return Manifest(
        fingerprint=job.fingerprint,
        signals=schemas,
        shards=tuple(job.source.shards()),
        views=job.policy.count,
        block=job.block,
        first_view=job.policy.first,
        parameters=tuple(job.policy.parameters),
        classes=job.source.classes or teacher.classes(),
        teacher={"model": name, "revision": job.teacher.revision, **teacher.facts()},
        versions=library_versions(),
    )
