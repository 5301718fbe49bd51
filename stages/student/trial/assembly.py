"""Puts a trial together: its student, and for each phase the objective, the parameters that train and its rows.

Everything that could not work is refused here, before the first step.
"""

from collections.abc import Mapping
from dataclasses import replace

from torch import nn

from ..models.builders import StudentShape, build_student, output_shapes
from ..objective.balance import build_balance
from ..objective.objective import build_objective
from ..pruning.pruning import build_pruning
from ..rounding.fake_quantise import require_convolutions
from ..spec import StudentSpec
from ..stream.batch_stream import BatchStream
from .course import Phase, plan_course, trained_parameters
from .learner import PhaseParts
from .selection import Selection, drawn, ordered
from .trial import Trial
from .whole_batches import check_micro_batches, check_ranks


def assemble(
    trial: Trial, stream: BatchStream, shape: StudentShape, steps: int, several: bool = False
) -> tuple[nn.Module, tuple[PhaseParts, ...]]:
    """A new student on the CPU and its phases over `steps` steps, checked against the cache's signals; `several`: each
    of several processes has a part of every batch.

    Raises StageError naming the student, phase and term for what cannot work.
    """
    shape = shape_of(trial.student, stream, shape)
    student = build_student(trial.student, shape, trial.outputs, trial.seed)
    outputs = output_shapes(student, trial.student, shape)
    place = f"students.{trial.student.name}"
    phases = plan_course(trial.phases, steps, place)
    for phase in phases if several else ():
        check_ranks(phase.spec, _phase_place(trial, phase))
    parts = [_parts(trial, stream, shape, student, outputs, phase) for phase in phases]
    pruning = build_pruning(student, trial.student, shape, frozenset(trial.outputs), steps, trial.seed)
    return student, tuple(replace(part, pruning=pruning) for part in parts)


def _parts(
    trial: Trial,
    stream: BatchStream,
    shape: StudentShape,
    student: nn.Module,
    outputs: Mapping[str, tuple[int, ...]],
    phase: Phase,
) -> PhaseParts:
    place = _phase_place(trial, phase)
    known = (stream.signals, shape.classes, stream.fields, shape.inputs, stream.kept)
    objective = build_objective(trial, outputs, *known, phase=phase.number)
    trains = trained_parameters(student, phase.spec.trains, place)
    if phase.spec.fake_quantise:
        require_convolutions(student, place)
    balance = None if phase.spec.balance is None else build_balance(phase.spec.balance, len(phase.spec.objective))
    if trial.student.optimizer.micro_batch is not None:
        check_micro_batches(phase.spec, place)
    return PhaseParts(phase, objective, trains, _selection(trial, stream, phase), balance)


def _phase_place(trial: Trial, phase: Phase) -> str:
    place = f"students.{trial.student.name}"
    return place if trial.student.phases is None else f"{place}.phases.{phase.spec.name}"


def _selection(trial: Trial, stream: BatchStream, phase: Phase) -> Selection | None:
    select = phase.spec.select
    if select is None:
        return None
    if select.by == "random":
        return drawn(stream.samples, stream.views, trial.seed)
    return ordered(stream.sureness(select.measure), select, stream.views)


def shape_of(student: StudentSpec, stream: BatchStream, shape: StudentShape) -> StudentShape:
    """What this student takes and gives."""
    return replace(shape, inputs=stream.input_shapes(student.takes)).completed(student)
