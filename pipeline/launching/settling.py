"""What a stage of a chain needs of the one before it, and the patience to wait until it can be seen.

A shared file system may show a file seconds after another machine has written it, and a listing later still. So a stage
that misses something looks again for a while before it says so. It refuses to go on with a part: a chain whose earlier
stage did not finish ends here, with the names of what is missing.
"""

import time
from collections.abc import Callable

from ...cache import CacheError
from ...stages.deploy.evaluation.record import EVALUATION
from ...stages.errors import Interrupted, StageError
from ...stages.student.files.saved import is_saved
from ...stages.student.sweep.stopped import is_over
from ..config import Config
from ..console import console
from ..jobs import judging_sources, open_set, open_training
from ..students.training import chosen_trials

_LOOK = 2.0  # seconds between two looks


def await_cache(config: Config, patience: float, stop: Callable[[], bool]) -> None:
    """Return when the training cache is whole. Raises CacheError naming what it lacks after `patience` seconds."""
    _await(lambda: open_training(config), patience, stop)


def await_evaluable(config: Config, patience: float, stop: Callable[[], bool]) -> None:
    """Return when the held-out caches are whole, and every trial is finished or has failed. Raises CacheError and
    StageError naming what is missing."""
    _await(lambda: [open_set(config, name) for name in judging_sources(config)], patience, stop)
    _await(lambda: _require_students(config), patience, stop)


def await_evaluations(config: Config, patience: float, stop: Callable[[], bool]) -> None:
    """Return when every finished student is evaluated. Raises StageError naming one that is not."""
    _await(lambda: _require_evaluations(config), patience, stop)


def _require_evaluations(config: Config) -> None:
    _require_students(config)
    for trial in chosen_trials(config):
        folder = trial.folder(config.run / "students")
        if is_saved(folder) and not (folder / EVALUATION).exists():
            raise StageError(f"{trial.name} is not evaluated, so there is no report yet; run `teachercache evaluate`")


def _require_students(config: Config) -> None:
    trials = chosen_trials(config)
    folders = {trial.name: trial.folder(config.run / "students") for trial in trials}
    open_ = [name for name, folder in folders.items() if not is_over(folder) and not (folder / "failed.json").exists()]
    if open_:
        some = ", ".join(open_[:5]) + (", ..." if len(open_) > 5 else "")
        raise StageError(
            f"{config.run}: {len(open_)} of {len(trials)} trials are not trained ({some}), so this stage does not "
            "begin; `teachercache jobs` says why, and the command that was launched continues when it is given again"
        )


def _await(look: Callable[[], object], patience: float, stop: Callable[[], bool]) -> None:
    deadline, said = time.monotonic() + patience, False
    while True:
        try:
            look()
            return
        except (CacheError, StageError) as error:
            if time.monotonic() >= deadline:
                raise
            if not said:
                console.print(f"waiting up to {patience:.0f} s for what this stage needs: {error}", soft_wrap=True)
                said = True
        if stop():
            raise Interrupted("stopped before the first step; the same command continues")
        time.sleep(min(_LOOK, max(0.0, deadline - time.monotonic())))
