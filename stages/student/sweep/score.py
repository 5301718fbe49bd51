"""How well a student of a sweep does by a step: a pure function of the histories of its trials."""

from collections.abc import Iterable, Sequence
from math import inf
from pathlib import Path
from statistics import fmean

from ...errors import StageError
from ..files.history import read_history
from ..spec import StudentSpec
from ..trial.trial import Trial


def sweep_name(student: StudentSpec) -> str | None:
    """The student that a sweep made this one of; None for any other."""
    return None if student.swept is None else student.name.rpartition("-")[0]


def main_arm(student: StudentSpec) -> str:
    """The arm of a student that counts; of its controls nothing does."""
    return student.control or "distilled"


def score(student: str, trials: Sequence[Trial], students: Path, by: str, step: int) -> float | None:
    """The mean over seeds and the records of the second half of the steps up to `step` of the loss or a term; infinite
    when some was, None without any record."""
    values = [
        value
        for trial in trials
        if trial.student.name == student and trial.arm == main_arm(trial.student)
        for value in _recorded(trial.folder(students) / "history.jsonl", by, step)
    ]
    return fmean(values) if values else None


def check_comparable(trial: Trial, terms: Iterable[str], by: str, place: str) -> None:
    """Raise StageError where `by` (at `place` of the settings) says nothing of a trial of a sweep with these terms, or
    means another thing in each trial."""
    if trial.student.swept is None or trial.arm != main_arm(trial.student):
        return
    known = sorted({"loss", *terms})
    if by not in known:
        raise StageError(f"{place}.by: {trial.student.name} has no term {by!r}; there are {', '.join(known)}")
    changed = next((p for p in trial.student.swept if p.partition(".")[0] in ("objective", "phases", "balance")), None)
    if by == "loss" and changed is not None:
        raise StageError(
            f"{place}.by: the sweep tries {changed}, so the loss is another sum in each trial; name a term"
        )
    if changed is not None and not changed.endswith(".weight"):
        raise StageError(f"{place}: the sweep tries {changed}, so that a term may mean another thing in each")


def _recorded(path: Path, by: str, step: int) -> list[float]:
    records = [one for one in read_history(path) if step // 2 < one["step"] <= step]
    found = [one["loss"] if by == "loss" else one["terms"].get(by) for one in records]
    return [inf if value is None else value for value in found]
