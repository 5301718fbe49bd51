"""Phase one: the teacher runs once over every missing shard, and what it said goes to the cache.

Workers prepare, the device computes and encodes, a thread writes. The same call again computes only what is missing.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import torch

from ...cache import Cache, Manifest, create_cache, open_cache
from ...cache.format.schema import check_name
from ...cache.grid.extension import publish_extension
from ...cache.opening import cache_exists, note_receipts
from ...cache.storage.address import open_store
from ...data import check_ids
from ..class_order import check_teacher
from ..device import pick_device
from ..errors import Interrupted, StageError
from ..versions import library_versions
from .buckets import hear_rows, piece_samples
from .extension import as_it_stands
from .families.adapter import Adapter
from .families.family import open_teacher, teacher_inputs
from .inputs.batch import PreparedBatch
from .inputs.loader import PreparedPieces, plan_pieces, prepared_batches
from .job import CacheJob
from .signals.attention_size import attention_notes
from .signals.constants import host_constants
from .signals.encoding import check_first, clock, encode_batch, measure_errors
from .signals.signal_schema import Heard
from .sink import ShardSink

Progress = Callable[[int, int], None]  # rows done, rows to do


@dataclass(frozen=True, slots=True)
class BuildSummary:
    """What a build did: shards and rows made now, shards that stood already, seconds, and seconds waited for data;
    `notes` are what a person might want to know of a cache that was begun, `lost` the shards that another builder
    finished first, which are not counted."""

    shards: int
    rows: int
    standing: int
    seconds: float
    waited: float
    notes: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()


def build_cache(
    job: CacheJob,
    progress: Progress = lambda done, total: None,
    stop: Callable[[], bool] = lambda: False,
    only: Callable[[str], bool] = lambda shard: True,
) -> BuildSummary:
    """Compute every missing shard that `only` accepts.

    Raises DataError and StageError for what cannot be used, StaleCacheError when another cache is there, StageFailed
    for a signal that is not finite, CacheWriteError when the disk refuses, Interrupted when `stop` says so.
    """
    started = perf_counter()
    for shard in job.source.shards():
        check_name(shard, "source.path: shard")
    check_ids(job.source)
    missing = [shard for shard in _missing(job) if only(shard)]
    standing = len(job.source.shards()) - len(missing)
    if not missing:
        return BuildSummary(0, 0, standing, perf_counter() - started, 0.0)
    pieces = _pieces(job, missing)
    total = sum(stop_ - start for _, start, stop_, _ in pieces.pieces) * job.policy.count
    device = pick_device(job.teacher.device)
    batches = prepared_batches(pieces, job.teacher.workers, pin=device.type == "cuda")
    run = _Run(job, device, progress, stop, total, pieces.prepare.longest)
    run.over(batches)
    note_receipts(job.address)
    made, rows = len(missing) - len(run.lost), total
    rows -= sum(len(job.source.open(shard)) for shard in run.lost) * job.policy.count
    return BuildSummary(made, rows, standing, perf_counter() - started, run.waited, run.notes, tuple(run.lost))


def _missing(job: CacheJob) -> list[str]:
    """Shards without a receipt, in source order. Raises StaleCacheError when the cache is another job's."""
    if not cache_exists(job.address):
        return list(job.source.shards())
    cache = _standing(job)
    missing = list(cache.missing())
    unnamed = [name for name in cache.manifest.signals if name not in job.asked.rectangle.signals]
    if missing and unnamed:
        raise StageError(
            f"cache.signals: {job.address} keeps {unnamed[0]} as well, and its {len(missing)} missing shards need it; "
            "name every signal of the cache, as it was named when the cache was begun"
        )
    return missing


def _standing(job: CacheJob) -> Cache:
    """The directory of this job, which is there; from now on it is a part of its cache, if it was none yet."""
    cache = open_cache(job.address, job.fingerprint, extensions=False)
    if job.extension:
        publish_extension(open_store(job.root), job.extension)
    return cache


def _pieces(job: CacheJob, shards: list[str]) -> PreparedPieces:
    samples = piece_samples(job)
    if job.keep_pixels and "image" not in job.source.kinds:
        raise StageError("views.keep_pixels: the source has no images (source.image is empty), so there are no pixels")
    prepare = teacher_inputs(job.teacher, job.folder, job.source, job.policy)
    return PreparedPieces(job.source, job.policy, prepare, plan_pieces(job.source, shards, samples), job.keep_pixels)


class _Run:
    """One pass over prepared batches. The cache is created when the first batch has told the signals' shapes."""

    def __init__(
        self,
        job: CacheJob,
        device: torch.device,
        progress: Progress,
        stop: Callable[[], bool],
        total: int,
        longest: int | None,
    ) -> None:
        self._longest = longest
        self.job, self.device, self.progress, self.stop, self.total = job, device, progress, stop, total
        self.waited = 0.0
        self.notes: tuple[str, ...] = ()
        self.lost: list[str] = []
        self._shard_started = perf_counter()

    def over(self, batches: Iterator[PreparedBatch]) -> None:
        first = next(batches)
        teacher = open_teacher(self.job.teacher, self.job.folder, self.job.signals, self.device)
        try:
            cache = self._cache(teacher, first)
            with ShardSink(cache, self.job.source, library_versions()) as sink:
                self._feed(teacher, cache, sink, first, batches)
            self.lost += sink.lost
        finally:
            teacher.close()

    def _cache(self, teacher: Adapter, first: PreparedBatch) -> Cache:
        """Open or create the cache that fits what the teacher says."""
        check_teacher(self.job.source.classes, teacher.classes(), self.job.signals)
        if cache_exists(self.job.address):
            return _standing(self.job)
        if not first.rows:
            raise StageError(f"the first shard, {first.shard}, holds no sample: remove it, or put samples into it")
        heard = self._hear(teacher, first)
        check_teacher(self.job.source.classes, teacher.classes(), self.job.signals)  # a module knows them only now
        schemas = as_it_stands(self.job, self.job.schemas(heard, self._longest))
        check_first(first, heard, schemas)  # nothing is published of a teacher that says NaN
        self.notes = attention_notes(schemas.values(), teacher.config)
        errors = measure_errors(heard, schemas)
        schemas = {name: replace(schema, error=errors.get(name, {})) for name, schema in schemas.items()}
        create_cache(self.job.address, self._manifest(schemas, teacher), host_constants(heard, teacher.constants()))
        return _standing(self.job)

    def _manifest(self, schemas: Mapping[str, Any], teacher: Adapter) -> Manifest:
        job = self.job
        name = job.teacher.use or job.teacher.model
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

    def _feed(
        self,
        teacher: Adapter,
        cache: Cache,
        sink: ShardSink,
        first: PreparedBatch,
        rest: Iterator[PreparedBatch],
    ) -> None:
        done, skipped = 0, None
        for prepared in self._timed(first, rest):
            if self.stop():
                raise Interrupted(f"stopped with {done} of {self.total} rows done; the same command continues")
            if prepared.start == 0 and cache.receipt(prepared.shard) is not None:
                skipped = prepared.shard  # another builder has finished it in the meantime
                self.lost.append(skipped)
            if prepared.shard != skipped:
                self._one(teacher, cache, sink, prepared)
            done += prepared.rows
            self.progress(done, self.total)

    def _one(self, teacher: Adapter, cache: Cache, sink: ShardSink, prepared: PreparedBatch) -> None:
        schemas = cache.manifest.signals
        if prepared.start == 0:
            self._shard_started = perf_counter()
        started = clock(self.device)
        heard = self._hear(teacher, prepared) if prepared.rows else {}
        encoded = encode_batch(prepared, heard, schemas, started, self.device)
        facts: dict[str, Any] = {}
        if prepared.last:
            errors = measure_errors(heard, schemas) if prepared.rows else {}
            facts = {"error": errors, "cost": {"seconds": perf_counter() - self._shard_started}}
        sink.put(encoded, facts)

    def _hear(self, teacher: Adapter, prepared: PreparedBatch) -> dict[str, Heard]:
        if not self.job.signals:
            return {}  # only the views' pixels are missing
        return hear_rows(teacher, prepared, self.job.teacher.batch_size, self.device)

    def _timed(self, first: PreparedBatch, rest: Iterator[PreparedBatch]) -> Iterator[PreparedBatch]:
        """The batches, counting the seconds spent waiting for workers."""
        yield first
        while True:
            started = perf_counter()
            try:
                prepared = next(rest)
            except StopIteration:
                return
            self.waited += perf_counter() - started
            yield prepared
