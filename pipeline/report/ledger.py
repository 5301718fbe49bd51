"""The cost ledger: what the teacher's one pass cost, and what running the teacher beside the students would have cost.

Nothing here is estimated without saying so: KINDS tells, for each entry, whether it was measured, counted, configured
or derived from the others.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Literal

from ...cache import Cache
from ...stages.student.spec import TrainSpec
from ...stages.teacher.running.pace import Pace, Side
from ..launching.cost import JobsCost
from .trials import FinishedTrial, TrialStates

Kind = Literal["measured", "counted", "configured", "derived"]
KINDS: dict[str, Kind] = {
    "teacher_seconds": "measured",
    "build_seconds": "measured",
    "waiting_for_data": "measured",
    "waiting_for_writer": "measured",
    "build_limit": "derived",
    "cache_rows": "counted",
    "cache_bytes": "counted",
    "rows_per_teacher_second": "derived",
    "students": "counted",
    "trials": "counted",
    "reading_trials": "counted",
    "training_seconds": "measured",
    "rows_per_trial": "configured",
    "beside_each_seconds": "derived",
    "beside_fleet_seconds": "derived",
    "break_even_trials": "derived",
    "gpu_seconds": "measured",
    "job_seconds": "measured",
    "job_restarts": "counted",
}


@dataclass(frozen=True, slots=True)
class Ledger:
    """Costs of a run; seconds, rows and bytes, None where nothing was recorded.

    `teacher_seconds` the device worked to fill the cache, `build_seconds` passed meanwhile, of which the teacher
    was `waiting_for_data` and `waiting_for_writer`; `build_limit` is the side that a faster build would need.
    `reading_trials` are the finished trials that read the teacher's signals; labels-only needs no teacher. A trial
    sees `rows_per_trial` rows, steps x batch size. `beside_each_seconds` of teacher time those trials would have
    needed, each with its own teacher at the speed measured here; `beside_fleet_seconds` if one teacher had served
    all of them on the same batches. From `break_even_trials` on, the cache has cost no more than a teacher beside
    each: cache rows / rows per trial. Where commands ran as jobs, `job_seconds` are those of all starts of all tasks,
    loading and what was lost included, `gpu_seconds` the same times the GPUs held, and `job_restarts` are counted.
    """

    teacher_seconds: float | None
    build_seconds: float | None
    waiting_for_data: float | None
    waiting_for_writer: float | None
    build_limit: Side | None
    cache_rows: int
    cache_bytes: int
    rows_per_teacher_second: float | None
    students: int
    trials: int
    reading_trials: int
    training_seconds: float | None
    rows_per_trial: int
    beside_each_seconds: float | None
    beside_fleet_seconds: float | None
    break_even_trials: int
    gpu_seconds: float | None
    job_seconds: float | None
    job_restarts: int | None


def build_ledger(cache: Cache, states: TrialStates, train: TrainSpec, jobs: JobsCost | None = None) -> Ledger:
    """The ledger of a run, from the training cache's receipts, the trials' histories, and the records of jobs."""
    receipts = [receipt for member in cache.members for receipt in member.receipts.values()]
    teacher = _recorded([receipt.cost.get("teacher_seconds") for receipt in receipts])
    seconds, data, writer = (
        _recorded([receipt.cost.get(key) for receipt in receipts])
        for key in ("seconds", "waiting_for_data", "waiting_for_writer")
    )
    per_row = None if teacher is None or not cache.rows else teacher / cache.rows
    rows = train.steps * train.batch_size
    reading = sum(1 for one in states.finished if reads_signals(one))
    return Ledger(
        teacher_seconds=teacher,
        build_seconds=seconds,
        waiting_for_data=data,
        waiting_for_writer=writer,
        build_limit=_limit(cache.rows, seconds, teacher, data, writer),
        cache_rows=cache.rows,
        cache_bytes=sum(receipt.bytes for receipt in receipts),
        rows_per_teacher_second=1 / per_row if per_row else None,
        students=len({one.trial.student.name for one in states.finished}),
        trials=len(states.finished),
        reading_trials=reading,
        training_seconds=_recorded([one.history.seconds if one.history else None for one in states.finished]),
        rows_per_trial=rows,
        beside_each_seconds=None if per_row is None else per_row * rows * reading,
        beside_fleet_seconds=None if per_row is None else per_row * rows * min(reading, 1),
        break_even_trials=ceil(cache.rows / rows),
        gpu_seconds=None if jobs is None else jobs.gpu_seconds,
        job_seconds=None if jobs is None else jobs.seconds,
        job_restarts=None if jobs is None else jobs.restarts,
    )


def _limit(
    rows: int, seconds: float | None, busy: float | None, data: float | None, writer: float | None
) -> Side | None:
    if not seconds or busy is None or data is None or writer is None:
        return None
    return Pace(rows, seconds, busy, data, writer).limit


def reads_signals(one: FinishedTrial) -> bool:
    """Whether a trial would have needed a teacher."""
    return any(term.signal is not None for term in one.trial.terms)


def _recorded(values: Sequence[float | None]) -> float | None:
    """The sum, None when any part of it was not recorded: half a sum would look like a measurement."""
    known = [float(value) for value in values if value is not None]
    return sum(known) if known and len(known) == len(values) else None
