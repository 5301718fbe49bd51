"""One process's part of phase one: workers prepare, the device computes and encodes, a thread writes.

The teacher's passes are as large as its memory allows; each shard's receipt says what its rows have cost.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import torch

from ....cache import Cache
from ....cache.opening import cache_exists
from ...class_order import check_teacher
from ...errors import StageError
from ...gpu_sharing.claim import claim_memory
from ...versions import library_versions
from ..buckets import hear_rows, piece_batches, piece_samples
from ..families.adapter import Adapter
from ..families.family import open_teacher, teacher_inputs
from ..inputs.batch import PreparedBatch
from ..inputs.loader import PreparedPieces, plan_pieces, prepared_batches
from ..job import CacheJob
from ..privacy.release import noiser_of
from ..signals.encoding import EncodedBatch, clock, encode_batch, measure_errors
from ..signals.signal_schema import Heard
from ..sink import ShardSink
from .batch_size import find_batch_size
from .beginning import begin_cache
from .compiled import compile_teacher
from .pace import Pace
from .pass_size import PassSize
from .standing import standing_cache
from .stopped import Stopped
from .threads import Threads

_PROBED = 16  # samples among which the longest is looked for
_UNTRIED = 256  # rows of a pass where there is nothing to try


@dataclass(frozen=True, slots=True)
class Turn:
    """Who begins the cache where several processes build it: `wait` returns when it is this one's turn or the cache is
    there, `done` says that it is. `processes` share the cores."""

    wait: Callable[[], None] = lambda: None
    done: Callable[[], None] = lambda: None
    processes: int = 1


@dataclass(slots=True)
class Result:
    """What a run did; `lost` are shards that another builder finished first."""

    pace: Pace = Pace()
    notes: tuple[str, ...] = ()
    lost: list[str] = field(default_factory=list)


class Run:
    """Computes `shards` of a job on one device. `progress(rows)` is told how many are done, `stop()` is asked."""

    def __init__(
        self,
        job: CacheJob,
        shards: Sequence[str],
        device: torch.device,
        progress: Callable[[int], None],
        stop: Callable[[], bool],
        turn: Turn = Turn(),  # noqa: B008
    ) -> None:
        self.job, self.shards, self.device, self.progress, self.stop = job, list(shards), device, progress, stop
        self.shard = self.shards[0]  # the one in work
        self._turn, self._result = turn, Result()
        self._threads = Threads(job.teacher, device, turn.processes)
        self._prepare = teacher_inputs(job.teacher, job.folder, job.source, job.policy)
        self._batches = piece_batches(job)
        self._noiser = noiser_of(job)
        self._data = self._writer = self._end = 0.0
        self._remarks: list[str] = []

    def result(self) -> Result:
        """Go through all shards. Raises what `build_cache` raises."""
        try:
            self._go()
        finally:
            self._threads.restore()
        return self._result

    def _go(self) -> None:
        teacher = self._open() if self.job.teacher.batch_size == "auto" else None
        try:
            self._size = PassSize(self._rows(teacher), self.device)
            pieces = self._pieces(plan_pieces(self.job.source, self.shards, piece_samples(self.job, self._size.rows)))
            batches = prepared_batches(pieces, self.job.teacher.workers, pin=self.device.type == "cuda")
            first = next(batches)
            teacher = teacher or self._open()
            cache = self._cache(teacher, first)
            self._began = self._asked = perf_counter()
            with ShardSink(cache, self.job.source, library_versions()) as sink:
                done = self._feed(teacher, cache, sink, first, batches)
                fed = perf_counter()
            self._end = perf_counter() - fed
        finally:
            if teacher is not None:
                teacher.close()
        self._result.lost += sink.lost
        self._result.pace = self._pace(done, sink.busy)

    def _open(self) -> Adapter:
        claim_memory(self.job.share, self.device, self.stop)
        return open_teacher(self.job.teacher, self.job.folder, self.job.signals, self.device)

    def _pieces(self, plan: Sequence[Any]) -> PreparedPieces:
        return PreparedPieces(self.job.source, self.job.policy, self._prepare, plan, self.job.keep_pixels)

    def _rows(self, teacher: Adapter | None) -> int:
        """Rows of a pass: those that are asked for, or found."""
        asked = self.job.teacher.batch_size
        if asked != "auto" or teacher is None:
            return int(asked)
        counts = [(shard, min(_PROBED, len(self.job.source.open(shard)))) for shard in self.shards]
        some = next(((shard, 0, count, False) for shard, count in counts if count), None)
        if some is None or not self.job.signals:
            return _UNTRIED
        rows = find_batch_size(teacher, self._pieces([some])[0], self.device)
        self._remarks.append(f"batch size: {rows} rows, found on {self.device}")
        return rows

    def _cache(self, teacher: Adapter, first: PreparedBatch) -> Cache:
        """Open or create the cache that fits what the teacher says."""
        job = self.job
        check_teacher(job.source.classes, teacher.classes(), job.signals)
        self._turn.wait()
        standing = cache_exists(job.address)
        if not first.rows:
            if not standing:
                raise StageError(f"the first shard, {first.shard}, holds no sample: remove it, or put samples into it")
            cache = standing_cache(job)
            self._turn.done()
            return cache
        if not standing or job.teacher.compile:
            part, heard = next(self._size.run(first, self._batches, lambda part: (part, self._hear(teacher, part))))
            if not standing:
                self._result.notes = begin_cache(job, teacher, part, heard, self._prepare.longest)
            if job.teacher.compile and job.signals:
                inputs = {name: value[: self._size.rows].to(self.device) for name, value in part.inputs.items()}
                self._remarks.append(compile_teacher(teacher, job.teacher, inputs))
        cache = standing_cache(job)
        self._turn.done()
        return cache

    def _feed(
        self, teacher: Adapter, cache: Cache, sink: ShardSink, first: PreparedBatch, rest: Iterator[PreparedBatch]
    ) -> int:
        """All batches; returns the rows that were computed here."""
        done, computed, skipped = 0, 0, None
        for number, prepared in enumerate(self._timed(first, rest)):
            self.shard = prepared.shard
            if self.stop():
                raise Stopped(f"stopped in shard {self.shard}")
            if prepared.start == 0 and cache.receipt(prepared.shard) is not None:
                skipped = prepared.shard  # another builder has finished it in the meantime
                self._result.lost.append(skipped)
            if prepared.shard != skipped:
                self._one(teacher, cache, sink, prepared, settle=number == 1)
                computed += prepared.rows
            done += prepared.rows
            self.progress(done)
        return computed

    def _one(self, teacher: Adapter, cache: Cache, sink: ShardSink, prepared: PreparedBatch, settle: bool) -> None:
        schemas = cache.manifest.signals
        if prepared.start == 0:
            self._shard_began, self._shard_waits = self._asked, (self._data_before, self._writer)
        started = perf_counter()

        def take(part: PreparedBatch) -> tuple[PreparedBatch, Mapping[str, Heard], EncodedBatch]:
            begun = clock(self.device)
            heard = self._hear(teacher, part) if part.rows else {}
            return part, heard, encode_batch(part, heard, schemas, begun, self.device)

        for part, heard, encoded in self._size.run(prepared, self._batches, take):
            facts: dict[str, Any] = {}
            if part.last:
                facts = {"error": measure_errors(heard, schemas) if part.rows else {}, "cost": self._cost()}
            before = perf_counter()
            sink.put(encoded, facts)
            self._writer += perf_counter() - before
        if settle:
            self._threads.settle(prepared.seconds, perf_counter() - started)

    def _cost(self) -> dict[str, float]:
        data, writer = self._shard_waits
        return {
            "seconds": perf_counter() - self._shard_began,
            "waiting_for_data": self._data - data,
            "waiting_for_writer": self._writer - writer,
            "batch_size": self._size.rows,
        }

    def _hear(self, teacher: Adapter, prepared: PreparedBatch) -> dict[str, Heard]:
        if not self.job.signals:
            return {}  # only the views' pixels are missing
        heard = hear_rows(teacher, prepared, self._size.rows, self.device)
        return heard if self._noiser is None else self._noiser(prepared, heard)

    def _timed(self, first: PreparedBatch, rest: Iterator[PreparedBatch]) -> Iterator[PreparedBatch]:
        """The batches, counting the seconds spent waiting for workers."""
        self._data_before = 0.0
        yield first
        while True:
            self._asked, self._data_before = perf_counter(), self._data
            try:
                prepared = next(rest)
            except StopIteration:
                return
            self._data += perf_counter() - self._asked
            yield prepared

    def _pace(self, rows: int, busy: float) -> Pace:
        remarks = (*self._remarks, self._size.remark(), self._threads.remark())
        return Pace(
            rows=rows,
            seconds=perf_counter() - self._began,
            busy=busy,
            data=self._data,
            writer=self._writer,
            end=self._end,
            batch_size=self._size.rows,
            remarks=tuple(remark for remark in remarks if remark),
        )
