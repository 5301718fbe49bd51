"""Which trials train at the same time: as many as are allowed and fit, in their order; the others wait.

A trial that finds no memory beside others waits too. Alone it would find no more, and has failed.
"""

from collections.abc import Mapping, Sequence

from .memory.fitting import fitting
from .spec import StudentSpec
from .trial.training import TrialResult
from .trial.trial import Trial


class Waves:
    """The trials that wait, and how many of them go next."""

    def __init__(self, trials: Sequence[Trial], at_once: int | None) -> None:
        self._waiting, self._at_once = list(trials), at_once or max(1, len(trials))

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, trial: Trial) -> bool:
        return trial in self._waiting

    def students(self) -> list[StudentSpec]:
        """The students of those that wait, each once, in their order."""
        return list({trial.student.name: trial.student for trial in self._waiting}.values())

    def next(self, needs: Mapping[str, int] | None = None, room: int | None = None) -> list[Trial]:
        """The trials of the next wave; none when no one waits. `needs` are bytes of a GPU by student, as far as they
        are known, `room` the bytes that there are."""
        known = needs or {}
        chosen = fitting([known.get(trial.student.name) for trial in self._waiting], room, self._at_once)
        wave = [self._waiting[number] for number in chosen]
        for number in reversed(chosen):
            del self._waiting[number]
        return wave

    def back(self, crowded: Sequence[TrialResult], beside: int) -> None:
        """Trials that found no memory while `beside` others had it go first in the next wave, which takes no more than
        that many."""
        if crowded and beside:
            self._waiting[:0] = [one.trial for one in crowded]
            self._at_once = min(self._at_once, beside)
