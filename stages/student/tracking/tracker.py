"""What every tracker does, which there are, and what happens when one cannot: training goes on without it.

TensorBoard writes files wherever it is installed; the others are asked for by `train.track`.
"""

import warnings
from collections.abc import Callable, Iterable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol, get_args

from ...errors import StageError
from ..files.history import Record
from ..trial.trial import Trial
from .names import TrackerName


class Tracker(Protocol):
    """Takes the records of one trial."""

    def append(self, record: Record) -> None:
        """Add one record's numbers."""

    def close(self) -> None:
        """Write what is left; the trial may be opened again at a later step."""


def scalars(record: Record) -> dict[str, float]:
    """What all trackers are told: `loss`, `lr`, `grad_norm`, `accuracy` where there is one, and `terms/<term>`."""
    found = {"loss": record.loss, "lr": record.lr, "grad_norm": record.grad_norm}
    found |= {} if record.accuracy is None else {"accuracy": record.accuracy}
    return found | {f"terms/{name}": value for name, value in record.terms.items()}


def require_trackers(names: Iterable[str]) -> None:
    """Raise StageError naming the extra to install for a tracker whose package is missing."""
    for name in names:
        if find_spec(name) is None:
            raise StageError(
                f"train.track: {name} is not installed; pip install 'teachercache[{name}]', or leave it out"
            )


class Trackers:
    """All trackers of a trial. One that raises an error is left out from then on, with a warning."""

    def __init__(self, names: Iterable[str], trial: Trial, folder: Path, step: int) -> None:
        self._trial, self._open = trial.name, dict[str, Tracker]()
        if find_spec("tensorboard") is not None:
            from .tensorboard_events import Events

            self._open["tensorboard"] = Events(folder, step)
        for name in names:
            self._guarded(name, partial(self._begin, name, trial, folder))

    def append(self, record: Record) -> None:
        """Tell every tracker."""
        for name, tracker in list(self._open.items()):
            self._guarded(name, partial(tracker.append, record))

    def close(self) -> None:
        """Close every tracker."""
        for name, tracker in list(self._open.items()):
            self._guarded(name, tracker.close)

    def _begin(self, name: str, trial: Trial, folder: Path) -> None:
        self._open[name] = _tracker(name, trial, folder)

    def _guarded(self, name: str, action: Callable[[], None]) -> None:
        if name not in get_args(TrackerName):
            action()  # files of ours: a full disk is an error like any other
            return
        try:
            action()
        except Exception as error:  # a service that is away must not end a training of hours
            self._open.pop(name, None)
            warnings.warn(f"{self._trial} is no longer tracked by {name}: {error}", RuntimeWarning, stacklevel=2)


def _tracker(name: str, trial: Trial, folder: Path) -> Tracker:
    if name == "wandb":
        from .weights_and_biases import WandbRun

        return WandbRun(trial, folder)
    from .mlflow_run import MlflowRun

    return MlflowRun(trial, folder)
