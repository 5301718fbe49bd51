"""The rungs of studies, at which their pruners are asked; one fleet may train trials of several studies."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..spec import TrainSpec
from ..trial.trial import Trial
from .rungs import Stop, rung_steps
from .score import check_comparable, sweep_name
from .study import SweepStudy


@dataclass(frozen=True, slots=True)
class StudyRungs:
    """See Rungs."""

    studies: Sequence[SweepStudy]
    train: TrainSpec

    @property
    def steps(self) -> tuple[int, ...]:
        """The rungs of all studies."""
        return tuple(sorted({step for study in self.studies for step in self._of(study)}))

    def check(self, trial: Trial, terms: Iterable[str]) -> None:
        """See Rungs."""
        known = tuple(terms)
        for study in self.studies:
            if sweep_name(trial.student) == study.student.name:
                check_comparable(trial, known, study.spec.by, study.place)

    def decides(self, trial: Trial) -> bool:
        """See Rungs."""
        return any(sweep_name(trial.student) == study.student.name for study in self.studies)

    def weak(self, trials: Sequence[Trial], students: Path, step: int) -> list[Stop]:
        """All trials of a student that its study's pruner gives up."""
        stops = []
        for study in self.studies:
            pruned = study.prunes(trials, students, step) if step in self._of(study) else {}
            stops += [Stop(trial, step, pruned[trial.student.name]) for trial in trials if trial.student.name in pruned]
        return stops

    def _of(self, study: SweepStudy) -> tuple[int, ...]:
        return rung_steps(study.spec.rungs, self.train, study.place)
