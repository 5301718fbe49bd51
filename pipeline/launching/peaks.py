"""What trials have taken of a GPU, recorded in their folders by the process that trained them, for later plans.

`memory.json` in a trial's folder: `bytes` that the process held at most, and `at_once`, how many trials of the same
student it trained side by side. Where students of several kinds trained together the figure is nobody's: it counts as
if the trial had been alone.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ...stages.student.files.durable_files import read_json, write_json
from ...stages.student.trial.trial import Trial
from .packing import Peak

_FILE = "memory.json"


def note_peak(students: Path, trials: Sequence[Trial], at_once: int | None, peak: int | None) -> None:
    """Record the peak (bytes; None: nobody knows) of a process that has trained these trials, at most `at_once` of them
    side by side."""
    if not peak:
        return
    several = len({trial.student.name for trial in trials}) > 1
    together = 1 if several else min(len(trials), at_once or len(trials))
    for trial in trials:
        write_json(trial.folder(students) / _FILE, {"format": 1, "bytes": peak, "at_once": together})


def read_peaks(students: Path, names: Sequence[str]) -> Mapping[str, Peak]:
    """The peak of each student of which a trial has one: of several the one that says least a trial."""
    found = {name: [peak for file in (students / name).glob(f"*/*/{_FILE}") if (peak := _read(file))] for name in names}
    return {name: min(peaks, key=lambda peak: peak.each) for name, peaks in found.items() if peaks}


def _read(file: Path) -> Peak | None:
    try:
        content = read_json(file) or {}
        return Peak(int(content["bytes"]), max(1, int(content["at_once"])))
    except (KeyError, TypeError, ValueError):
        return None  # a figure for plans: one that cannot be read is one that is not there
