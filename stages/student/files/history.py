"""The history of a trial: one JSON object a line, one line a step.

While a trial trains, lines are only added: nothing that another run of it has written is taken away, whenever that
began or ended. Runs say the same of a step, so a reader takes the first line of each. The run that saves the student
leaves exactly its own lines.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from .durable_files import write_errors, write_whole


@dataclass(frozen=True, slots=True)
class Record:
    """What was measured at step `step` (1 is the first).

    The loss and each term's mean over that batch, the learning rate, the gradient's norm before clipping, `seconds` of
    this trial's own steps so far (the host's clock), and steps skipped so far. `accuracy` is the share of the batch's
    labelled rows that it got right; None where no cross-entropy reads labels.
    """

    step: int
    loss: float
    terms: Mapping[str, float]
    lr: float
    grad_norm: float
    seconds: float
    skipped: int
    accuracy: float | None = None


class History:
    """Appends records to `history.jsonl`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines: dict[int, str] = {}  # by step: this run's, and those before the checkpoint that it began with

    def append(self, record: Record) -> None:
        """Add a line. A float that JSON does not know (an infinite gradient of a skipped step) becomes null."""
        line = json.dumps(_finite(asdict(record)), allow_nan=False) + "\n"
        self._lines[record.step] = line
        with write_errors(self._path), self._path.open("a") as file:
            file.write(line)

    def sync(self) -> None:
        """Wait until every line is on the disk, so that no checkpoint is newer than its history.

        Lines that another run's end has taken away come back; what another run has written stays.
        """
        there = _lines(self._path) if self._path.exists() else {}
        gone = [line for step, line in self._lines.items() if step not in there]
        with write_errors(self._path), self._path.open("a") as file:
            file.writelines(gone)
            file.flush()
            os.fsync(file.fileno())

    def begin(self, step: int) -> None:
        """Go on after `step`: later lines, of a run that was killed, are not this run's."""
        if self._path.exists():
            self._lines = {at: line for at, line in _lines(self._path).items() if at <= step}
            if not self._path.read_text().endswith("\n"):
                with write_errors(self._path), self._path.open("a") as file:
                    file.write("\n")  # ends a line that was cut short

    def finish(self) -> None:
        """Leave exactly this run's history, on the disk: another run of the trial may have written between."""
        self._leave()
        self.sync()

    def tidy(self) -> None:
        """Leave each step's first line, once a student is saved: then all lines of its run are there."""
        self._lines = _lines(self._path)
        self._leave()

    def _leave(self) -> None:
        whole = "".join(self._lines.values())
        if self._path.read_text() != whole:
            write_whole(self._path, whole.encode())


def read_history(path: Path) -> list[dict[str, Any]]:
    """The records of a `history.jsonl`; none when there is no such file."""
    return [json.loads(line) for line in _lines(path).values()] if path.exists() else []


def _lines(path: Path) -> dict[int, str]:
    """The first line of each step, in the order of steps, without those that were cut short."""
    found: dict[int, str] = {}
    for line in path.read_text().splitlines():
        try:
            found.setdefault(json.loads(line)["step"], line + "\n")
        except (ValueError, TypeError, KeyError):  # the writer was killed within this line
            continue
    return dict(sorted(found.items()))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    return None if isinstance(value, float) and not isfinite(value) else value
