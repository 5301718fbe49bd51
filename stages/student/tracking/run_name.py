"""What a trial's run is called elsewhere: noted in its folder, so that a trial that continues is the same run there."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..files.durable_files import read_json, write_json
from ..trial.trial import Trial

_DOCUMENT = "tracking.json"


def noted_run(folder: Path, tracker: str, begin: Callable[[], str]) -> str:
    """The id of this trial's run with `tracker`; `begin()` makes it the first time."""
    noted = read_json(folder / _DOCUMENT) or {}
    if tracker not in noted:
        noted[tracker] = begin()
        write_json(folder / _DOCUMENT, noted)
    return str(noted[tracker])


def run_settings(trial: Trial) -> dict[str, Any]:
    """What a run shows beside its curves: the student's settings, arm and seed."""
    return {"student": trial.student.model_dump(mode="json"), "arm": trial.arm, "seed": trial.seed}
