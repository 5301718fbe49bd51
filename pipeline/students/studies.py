"""Sweeps that Optuna leads: their trials so far are students of the configuration, and training chooses the next.

What was chosen stands in `<output>/studies/<sweep>`, which every process reads that trains, judges or reports.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

from ...stages.errors import StageFailed
from ...stages.student.spec import StudentSpec
from ...stages.student.sweep.expansion import numbered
from ...stages.student.sweep.score import sweep_name
from ...stages.student.sweep.study import SweepStudy
from ...stages.student.sweep.study_rungs import StudyRungs
from ...stages.student.trial.training import TrialResult
from ...stages.student.trial.trial import Trial
from ..config import CacheConfig, Config, read_again
from ..errors import ConfigError

_C = TypeVar("_C", bound=CacheConfig)
Train = Callable[[Sequence[Trial], StudyRungs], list[TrialResult]]
Plan = Callable[[Config, Sequence[str]], Sequence[Trial]]


def with_studies(config: _C) -> _C:
    """The configuration with the trials that its studies have chosen so far, or will choose first.

    Raises ConfigError for what a study cannot have beside it, StageError without Optuna and for a study of other
    settings.
    """
    if not isinstance(config, Config) or not any(_is_led(one) for one in config.students):
        return config
    if config.train.halving is not None:
        raise ConfigError("train.halving: a sweep that Optuna leads stops weak trials by its own `study.pruner`")
    found = config.model_copy(
        update={"students": tuple(trial for one in config.students for trial in _trials(config, one))}
    )
    found._written = config
    _check_names(found)
    return found


def studies_of(config: Config, trials: Sequence[Trial]) -> list[SweepStudy]:
    """The studies of which some trial is among `trials`."""
    names = {sweep_name(trial.student) for trial in trials}
    return [_study(config, one) for one in config.studies if one.name in names]


def study_rungs(config: Config, trials: Sequence[Trial]) -> StudyRungs | None:
    """Who gives up trials of the studies among `trials`; None where there are none, and `train.halving` decides."""
    studies = studies_of(config, trials)
    return StudyRungs(studies, config.train) if studies else None


def is_whole(config: Config, study: SweepStudy, trials: Sequence[Trial]) -> bool:
    """Whether every trial that a study has chosen is among `trials`: then training goes on to choose others."""
    asked = {trial.student.name for trial in trials}
    known = {one.name for one in config.students if sweep_name(one) == study.student.name}
    return known <= asked


def lead(config: Config, studies: Sequence[SweepStudy], others: Sequence[Trial], plan: Plan, train: Train) -> None:
    """Train round after round until no study has one left; `others` train beside the first. `plan` gives the trials of
    students by name. Raises what `train` raises, once the studies were told."""
    students, rungs = config.run / "students", StudyRungs(studies, config.train)
    while True:
        with ExitStack() as held:
            chosen = {study: study.take_round(held) for study in studies}
            names = [f"{study.student.name}-{number + 1:02d}" for study in studies for number in chosen[study]]
            trials = [*others, *(plan(read_again(config), names) if names else ())]
            if not trials:
                return
            try:
                train(trials, rungs)
            except StageFailed:  # a round without luck is no end of a study in which something did finish
                if not _told(chosen, trials, students) or not any(study.has_finished() for study in studies):
                    raise
            finally:
                _told(chosen, trials, students)
        others = ()


def _told(chosen: Mapping[SweepStudy, Sequence[int]], trials: Sequence[Trial], students: Path) -> bool:
    """Tell the studies; whether each now knows of all that it chose."""
    return all([study.tell(trials, students, numbers) for study, numbers in chosen.items()])


def refuse_division(config: CacheConfig) -> None:
    """Raise ConfigError where tasks would divide the trials of a study among them."""
    if isinstance(config, Config) and config.studies:
        raise ConfigError(
            f"students.{config.studies[0].name}.sweep: a study chooses its trials while they train, so they cannot be "
            "divided into tasks; start `teachercache train` in as many jobs as you like: they share the study"
        )


def _is_led(student: StudentSpec) -> bool:
    return student.sweep is not None and student.sweep.kind == "optuna"


def _study(config: Config, student: StudentSpec) -> SweepStudy:
    return SweepStudy(student, config.run / "studies" / student.name, config.train)


def _trials(config: Config, student: StudentSpec) -> tuple[StudentSpec, ...]:
    if not _is_led(student):
        return (student,)
    try:
        return tuple(numbered(student, n + 1, values) for n, values in _study(config, student).chosen().items())
    except ValueError as error:
        raise ConfigError(str(error)) from None


def _check_names(config: Config) -> None:
    names = [one.name for one in config.students]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"students: {twice[0]} is a trial of a sweep and a student of its own; rename the student")
