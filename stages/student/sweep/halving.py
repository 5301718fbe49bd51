"""Successive halving (Jamieson and Talwalkar 2016, arXiv:1502.07943): at a rung the weaker students of a sweep stop.

A student's score is a mean over its seeds and the records of the second half of the steps so far: a pure function of
the histories. What was decided is written once and obeyed ever after, so that a run that continues decides the same.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, inf
from pathlib import Path
from statistics import fmean
from typing import Any

from ...errors import StageError
from ..files.durable_files import read_json, write_json
from ..files.history import read_history
from ..spec import StudentSpec, TrainSpec
from ..trial.trial import Trial


@dataclass(frozen=True, slots=True)
class Stop:
    """A trial that goes no further than step `step`, and why."""

    trial: Trial
    step: int
    rank: int
    of: int
    reason: str


def sweep_name(student: StudentSpec) -> str | None:
    """The student that a sweep made this one of; None for any other."""
    return None if student.swept is None else student.name.rpartition("-")[0]


def rung_steps(train: TrainSpec) -> tuple[int, ...]:
    """After how many steps weak students stop. Raises StageError where nothing is recorded to decide by."""
    if train.halving is None:
        return ()
    steps = tuple(ceil(share * train.steps) for share in train.halving.rungs)
    for step in steps:
        if step // train.log_every * train.log_every <= step // 2:
            raise StageError(f"train.halving.rungs: nothing is recorded before step {step}; make train.log_every less")
    if len(set(steps)) < len(steps) or steps[-1] >= train.steps:
        raise StageError(f"train.halving.rungs: {train.steps} steps are too few for these rungs")
    return steps


def check_comparable(trial: Trial, terms: Iterable[str], train: TrainSpec) -> None:
    """Raise StageError where `by` says nothing of a trial with these terms, or means another thing in each trial."""
    if train.halving is None or trial.student.swept is None or trial.arm != _main_arm(trial.student):
        return
    by, known = train.halving.by, sorted({"loss", *terms})
    if by not in known:
        raise StageError(f"train.halving.by: {trial.student.name} has no term {by!r}; there are {', '.join(known)}")
    changed = next((p for p in trial.student.swept if p.partition(".")[0] in ("objective", "phases", "balance")), None)
    if by == "loss" and changed is not None:
        raise StageError(
            f"train.halving.by: the sweep tries {changed}, so the loss is another sum in each trial; name a term"
        )
    if changed is not None and not changed.endswith(".weight"):
        raise StageError(f"train.halving: the sweep tries {changed}, so that a term may mean another thing in each")


def halve(trials: Sequence[Trial], students: Path, train: TrainSpec, step: int) -> list[Stop]:
    """Which of the `trials` that came to the rung at `step` stop there. Writes down what was decided for each sweep."""
    groups: dict[str, list[Trial]] = {}
    for trial in trials:
        if (name := sweep_name(trial.student)) is not None:
            groups.setdefault(name, []).append(trial)
    return [stop for name, group in groups.items() for stop in _halved(name, group, students, train, step)]


def _halved(name: str, trials: Sequence[Trial], students: Path, train: TrainSpec, step: int) -> list[Stop]:
    assert train.halving is not None
    scores = {student: _score(student, trials, students, train.halving.by, step) for student in _names(trials)}
    decided = _decision(students / f"{name}-rung-{step:06d}.json", scores, train, step)
    noted: Mapping[str, float] = {one: inf if score is None else score for one, score in decided["scores"].items()}
    worst = max(noted[one] for one in decided["kept"]) if decided["kept"] else inf
    stops = []
    for trial in trials:
        score = noted.get(trial.student.name, scores[trial.student.name])
        if trial.student.name in decided["kept"] or score is None:
            continue
        if trial.student.name not in noted and score <= worst:  # it came to the rung later, and does well
            continue
        rank = 1 + sum(other < score for other in noted.values())
        by = train.halving.by
        reason = f"rank {rank} of {len(noted)} in {name} at step {step} by {by} ({score:.4g}); {worst:.4g} went on"
        stops.append(Stop(trial, step, rank, len(noted), reason))
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
    ranked = sorted((score, name) for name, score in scores.items() if score is not None)
    kept = [name for _, name in ranked[: max(1, ceil(train.halving.keep * len(ranked)))]]
    noted = {name: None if score == inf else score for score, name in ranked}
    decided = {"format": 1, "step": step, **settings, "scores": noted, "kept": kept}
    write_json(path, decided)
    return decided


def _score(student: str, trials: Sequence[Trial], students: Path, by: str, step: int) -> float | None:
    """The mean of what was recorded after step // 2 and up to `step`; infinite when some was; None without any."""
    values = [
        value
        for trial in trials
        if trial.student.name == student and trial.arm == _main_arm(trial.student)
        for value in _recorded(trial.folder(students) / "history.jsonl", by, step)
    ]
    return fmean(values) if values else None


def _recorded(path: Path, by: str, step: int) -> list[float]:
    records = [one for one in read_history(path) if step // 2 < one["step"] <= step]
    found = [one["loss"] if by == "loss" else one["terms"].get(by) for one in records]
    return [inf if value is None else value for value in found]


def _main_arm(student: StudentSpec) -> str:
    return student.control or "distilled"


def _names(trials: Iterable[Trial]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(trial.student.name for trial in trials))
