"""A trial as a run of Weights & Biases. WANDB_MODE, WANDB_PROJECT and the other variables of wandb hold as ever."""

import os
from pathlib import Path
from typing import Any
from uuid import uuid4

from ..files.history import Record
from ..trial.trial import Trial
from .run_name import noted_run, run_settings
from .tracker import scalars


class WandbRun:
    """Steps that the run has already are not told again: a trial that continues takes them equally."""

    def __init__(self, trial: Trial, folder: Path) -> None:
        import wandb

        self._run: Any = wandb.init(
            id=noted_run(folder, "wandb", lambda: uuid4().hex[:16]),
            project=os.environ.get("WANDB_PROJECT", "teachercache"),
            group=trial.student.name,
            name=trial.name,
            dir=str(folder),
            config=run_settings(trial),
            resume="allow",
            reinit="create_new",  # a fleet has many runs in one process
            settings=wandb.Settings(silent=True, console="off"),
        )

    def append(self, record: Record) -> None:
        """Add one record's numbers."""
        if record.step >= self._run.step:
            self._run.log(scalars(record), step=record.step)

    def close(self) -> None:
        """Finish the run; it may be resumed."""
        self._run.finish()
