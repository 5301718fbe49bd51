"""Which trials of a configuration are finished, which failed, and which are still to be trained."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...cache import Cache
from ...stages.deploy.evaluation.held_out_sets import judged_outputs
from ...stages.student.files.history import read_history
from ...stages.student.files.identity import claim_folder, trial_identity
from ...stages.student.files.saved import is_saved
from ...stages.student.sweep.score import sweep_name
from ...stages.student.trial.trial import Trial, plan_trials
from ..config import Config
from .errors import ReportError
from .evaluation import Evaluation, read_evaluation, read_json
from .history import History, history_of


@dataclass(frozen=True, slots=True)
class FinishedTrial:
    """A trial that was trained and evaluated."""

    trial: Trial
    folder: Path
    evaluation: Evaluation
    history: History | None


@dataclass(frozen=True, slots=True)
class FailedTrial:
    """A trial that was dropped from the fleet, and why."""

    student: str
    arm: str
    seed: int
    step: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class TrialStates:
    """The trials of a configuration, in its order; `waiting` are not trained to the end yet, `stopped` weak ones
    of a sweep, with the reason."""

    finished: tuple[FinishedTrial, ...]
    failed: tuple[FailedTrial, ...]
    waiting: tuple[Trial, ...]
    stopped: tuple[str, ...] = ()


def read_trials(config: Config, cache: Cache, held_out: Cache, others: Mapping[str, str] | None = None) -> TrialStates:
    """Read the folder of every trial of the configuration. `others` are digests of the other held-out caches by set.

    Raises ReportError when nothing is trained, or a trained student is not evaluated: it names the command to run.
    Raises StageError when a trial was trained with other settings, or from another cache, than the report would say.
    """
    students, finished, failed, waiting, stopped = config.run / "students", [], [], [], []
    for trial in plan_trials(config.students, config.train, judged_outputs(config.evaluate.chosen_metrics)):
        folder = trial.folder(students)
        if (folder / "trial.json").exists():
            claim_folder(folder, trial_identity(trial, config.train, cache.manifest.fingerprint))
        evaluation = read_evaluation(folder, held_out.manifest.digest, others)
        if evaluation is not None:
            history = history_of(read_history(folder / "history.jsonl"))
            finished.append(FinishedTrial(trial, folder, evaluation, history))
        elif is_saved(folder):
            raise ReportError(f"{folder} is trained and not evaluated; run `teachercache evaluate`, then report again")
        elif _may_stop(config, trial) and (stop := read_json(folder / "stopped.json")) is not None:
            stopped.append(f"{trial.name}: {stop.get('reason')}")
        elif (failure := read_json(folder / "failed.json")) is not None:
            failed.append(_failed(trial, failure))
        else:
            waiting.append(trial)
    if not finished:
        raise ReportError(_nothing(students, failed))
    return TrialStates(tuple(finished), tuple(failed), tuple(waiting), tuple(stopped))


def _may_stop(config: Config, trial: Trial) -> bool:
    """Whether there are rungs, or a study chose the trial and may have given it up."""
    return config.train.halving is not None or sweep_name(trial.student) in {study.name for study in config.studies}


def _failed(trial: Trial, failure: dict[str, object]) -> FailedTrial:
    step = failure.get("step")
    reason = str(failure.get("reason", "no reason was written"))
    return FailedTrial(trial.student.name, trial.arm, trial.seed, step if isinstance(step, int) else None, reason)


def _nothing(students: Path, failed: Sequence[FailedTrial]) -> str:
    if failed:
        first = failed[0]
        where = f"{first.student}/{first.arm}/seed-{first.seed}"
        return f"{students}: every trained student failed ({where}: {first.reason}); there is nothing to report"
    return (
        f"{students} holds no trained student; run `teachercache train` and `teachercache evaluate`, then report again"
    )
