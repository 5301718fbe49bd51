"""The course of a trial: which phase each step is in. A pure function of the settings, the arm and the step."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch import nn

from ...capture.points import nearest
from ...errors import StageError
from .spec import PhaseSpec


@dataclass(frozen=True, slots=True)
class Phase:
    """Steps start, start + 1, ..., stop - 1 of a trial."""

    number: int
    spec: PhaseSpec
    start: int
    stop: int

    @property
    def steps(self) -> int:
        """How many steps it has."""
        return self.stop - self.start


def plan_course(specs: Sequence[PhaseSpec], steps: int, place: str) -> tuple[Phase, ...]:
    """The phases laid end to end over `steps` steps. Raises StageError when one is left without a step."""
    marks, total = [0], 0.0
    for spec in specs:
        total += spec.share
        marks.append(round(total * steps))
    phases = tuple(Phase(n, spec, marks[n], marks[n + 1]) for n, spec in enumerate(specs))
    for phase in phases:
        if phase.steps < 1:
            raise StageError(
                f"{place}: phase {phase.spec.name} has no step: its share of {steps} steps is less than one"
            )
    return phases


def phase_at(phases: Sequence[Phase], step: int) -> Phase:
    """The phase of step `step` (0 is the first)."""
    return next(phase for phase in phases if step < phase.stop)


def trained_parameters(student: nn.Module, patterns: Sequence[str], place: str) -> frozenset[str]:
    """Names of the student's parameters that some pattern names. Raises StageError for a pattern that names none."""
    names = [name for name, _ in student.named_parameters()]
    found: set[str] = set()
    for pattern in patterns:
        matched = {name for name in names if fnmatchcase(name, pattern)}
        if not matched:
            raise StageError(f"{place}.trains: no parameter is called {pattern!r}{nearest(pattern, names)}")
        found |= matched
    return frozenset(found)
