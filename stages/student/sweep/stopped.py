"""What is left of a trial that was stopped at a rung: why, in `stopped.json`, beside its newest checkpoint."""

from pathlib import Path

from ..files.durable_files import write_json
from ..files.saved import is_saved
from ..trial.training import TrialResult
from .rungs import Stop

STOPPED = "stopped.json"


def note_stop(stop: Stop, folder: Path) -> TrialResult:
    """Write why a trial goes no further. That is no failure."""
    write_json(folder / STOPPED, {"reason": stop.reason, "step": stop.step, "rank": stop.rank, "of": stop.of})
    return TrialResult(stop.trial, folder, "stopped", stop.step, stop.reason)


def is_over(folder: Path) -> bool:
    """Whether a trial is finished, or was stopped."""
    return is_saved(folder) or (folder / STOPPED).exists()
