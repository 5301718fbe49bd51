"""Successive halving (Jamieson and Talwalkar 2016, arXiv:1502.07943): at a rung the weaker students of a sweep stop.

What was decided is written once and obeyed ever after, so that a run that continues decides the same.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, inf
from pathlib import Path
from typing import Any

from ...errors import StageError
from ..files.durable_files import read_json, write_json
from ..spec import TrainSpec
from ..trial.trial import Trial
from .rungs import Stop, rung_steps
from .score import check_comparable, score, sweep_name

_PLACE = "train.halving"


@dataclass(frozen=True, slots=True)
class HalvingRungs:
    """The rungs of `train.halving`; none where it is left out."""

    train: TrainSpec

    @property
    def steps(self) -> tuple[int, ...]:
        """See Rungs."""
        return () if self.train.halving is None else rung_steps(self.train.halving.rungs, self.train, _PLACE)

    def check(self, trial: Trial, terms: Iterable[str]) -> None:
        """See Rungs."""
        if self.train.halving is not None:
            check_comparable(trial, terms, self.train.halving.by, _PLACE)

    def decides(self, trial: Trial) -> bool:
        """See Rungs."""
        return self.train.halving is not None

    def weak(self, trials: Sequence[Trial], students: Path, step: int) -> list[Stop]:
        """See Rungs."""
        return halve(trials, students, self.train, step)


def halve(trials: Sequence[Trial], students: Path, train: TrainSpec, step: int) -> list[Stop]:
    """Which of the `trials` that came to the rung at `step` stop there. Writes down what was decided for each sweep."""
    groups: dict[str, list[Trial]] = {}
    for trial in trials:
        if (name := sweep_name(trial.student)) is not None:
            groups.setdefault(name, []).append(trial)
    return [stop for name, group in groups.items() for stop in _halved(name, group, students, train, step)]


def _halved(name: str, trials: Sequence[Trial], students: Path, train: TrainSpec, step: int) -> list[Stop]:
    assert train.halving is not None
    scores = {student: score(student, trials, students, train.halving.by, step) for student in _names(trials)}
    decided = _decision(students / f"{name}-rung-{step:06d}.json", scores, train, step)
    noted: Mapping[str, float] = {one: inf if value is None else value for one, value in decided["scores"].items()}
    worst = max(noted[one] for one in decided["kept"]) if decided["kept"] else inf
    stops = []
    for trial in trials:
        own = noted.get(trial.student.name, scores[trial.student.name])
        if trial.student.name in decided["kept"] or own is None:
            continue
        if trial.student.name not in noted and own <= worst:  # it came to the rung later, and does well
            continue
        rank = 1 + sum(other < own for other in noted.values())
        by = train.halving.by
        reason = f"rank {rank} of {len(noted)} in {name} at step {step} by {by} ({own:.4g}); {worst:.4g} went on"
        stops.append(Stop(trial, step, reason, rank, len(noted)))
    return stops


def _decision(path: Path, scores: Mapping[str, float | None], train: TrainSpec, step: int) -> dict[str, Any]:
    """What was decided at this rung, now or before."""
    assert train.halving is not None
    settings = {"by": train.halving.by, "keep": train.halving.keep}
    found = read_json(path)
    if found is not None:
        if {key: found.get(key) for key in settings} != settings:
            raise StageError(
                f"{path}: this rung was decided by other settings of train.halving; undo the change, or "
                "choose another `output`"
            )
        return found
    ranked = sorted((value, name) for name, value in scores.items() if value is not None)
    kept = [name for _, name in ranked[: max(1, ceil(train.halving.keep * len(ranked)))]]
    noted = {name: None if value == inf else value for value, name in ranked}
    decided = {"format": 1, "step": step, **settings, "scores": noted, "kept": kept}
    write_json(path, decided)
    return decided


def _names(trials: Iterable[Trial]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(trial.student.name for trial in trials))
