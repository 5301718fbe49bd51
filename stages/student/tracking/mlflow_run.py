"""A trial as a run of MLflow, in the experiment `teachercache` or MLFLOW_EXPERIMENT_NAME, at MLFLOW_TRACKING_URI."""

import json
import os
import time
from pathlib import Path
from typing import Any

from ..files.history import Record
from ..trial.trial import Trial
from .run_name import noted_run, run_settings
from .tracker import scalars

_LONGEST = 500  # characters of a parameter that every store takes


class MlflowRun:
    """By the client, not by the fluent functions, which know one run at a time. Steps after a checkpoint that a killed
    run has told are told again, with the same values."""

    def __init__(self, trial: Trial, folder: Path) -> None:
        from mlflow import MlflowClient

        self._client: Any = MlflowClient()
        self._run = noted_run(folder, "mlflow", lambda: self._begin(trial))
        self._client.set_terminated(self._run, "RUNNING")

    def _begin(self, trial: Trial) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "teachercache")
        found = self._client.get_experiment_by_name(name)
        experiment = self._client.create_experiment(name) if found is None else found.experiment_id
        run = str(self._client.create_run(experiment, run_name=trial.name).info.run_id)
        for key, value in run_settings(trial).items():
            text = value if isinstance(value, str) else json.dumps(value)
            self._client.log_param(run, key, text[:_LONGEST])
        return run

    def append(self, record: Record) -> None:
        """Add one record's numbers."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [Metric(_key(name), value, now, record.step) for name, value in scalars(record).items()]
        self._client.log_batch(self._run, metrics=metrics)

    def close(self) -> None:
        """Mark the run as finished; a trial that continues opens it again."""
        self._client.set_terminated(self._run)


def _key(name: str) -> str:
    """MLflow's names of metrics hold neither `+` nor `#`."""
    return name.replace("+", "_").replace("#", "_")
