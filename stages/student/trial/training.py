"""One trial while it trains, with its files: history, events, checkpoints, and in the end the saved student."""

import shutil
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from ..files.checkpoint import load_checkpoint, save_checkpoint
from ..files.durable_files import write_json
from ..files.history import History, Record
from ..files.saved import is_saved, save_student
from ..inputs.columns import SharedInputs
from ..models.builders import StudentShape
from ..spec import TrainSpec
from ..stream.batch import Batch
from ..tracking.tracker import Trackers
from .learner import Learner
from .trial import Trial

_NO_MEMORY = "out of memory"
_MEMORY = (_NO_MEMORY, "can't allocate memory")  # how torch says it where it has no class of its own for it


@dataclass(frozen=True, slots=True)
class TrialResult:
    """How a trial ended, in `folder`, after `step` steps; `reason` says why it failed, or was stopped as a weak one."""

    trial: Trial
    folder: Path
    status: Literal["finished", "failed", "stopped"]
    step: int
    reason: str | None = None

    @property
    def no_memory(self) -> bool:
        """Whether it failed for want of memory, which it may find when fewer train beside it."""
        return self.status == "failed" and (self.reason or "").startswith(_NO_MEMORY)


class Training:
    """A learner and its folder. Continues from the newest whole checkpoint."""

    def __init__(self, learner: Learner, folder: Path, shape: StudentShape, train: TrainSpec) -> None:
        self.learner, self.folder = learner, folder
        self.latest: Record | None = None
        self.result: TrialResult | None = None
        self._shape, self._train = shape, train
        found = load_checkpoint(self._checkpoints)
        if found is not None:
            learner.restore(found)
        self._history = History(folder / "history.jsonl")
        self._history.truncate(learner.step)
        self._trackers = Trackers(train.track, learner.trial, folder, learner.step)

    @property
    def trial(self) -> Trial:
        return self.learner.trial

    @property
    def step(self) -> int:
        """Steps taken."""
        return self.learner.step

    @property
    def _checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    def take(self, batch: Batch, shared: SharedInputs) -> None:
        """Take the step of a batch if it is this trial's next; whatever goes wrong in it ends this trial alone."""
        if self.result is not None or batch.step != self.step:
            return
        try:
            self.learner.advance(batch, shared)
            fault = self.learner.watch.look() if self._due() else None
        except Exception as error:  # a student may be anybody's code, and the other trials must go on
            self._fail(failure_reason(error), final=False, details=traceback.format_exc())
            return
        if fault is not None:
            self._fail(fault, final=True)
        else:
            self._write()

    def checkpoint(self) -> None:
        """Keep the state after the last step, unless the trial has ended or not begun."""
        if self.result is not None or self.step == 0:
            return
        fault = self.learner.watch.look()
        if fault is not None:
            self._fail(fault, final=True)
            return
        if is_saved(self.folder):  # another run of this trial was faster: a checkpoint would be of use to nobody
            self._close()
            return
        self._history.sync()
        save_checkpoint(self._checkpoints, self.learner.checkpoint())

    def pause(self) -> None:
        """Keep the state for another wave."""
        self.checkpoint()
        if self.result is None:
            self._trackers.close()

    def _fail(self, reason: str, final: bool, details: str | None = None) -> None:
        self._end(note_failure(self.trial, self.folder, self.step, reason, final, details))

    def _write(self) -> None:
        step = self.step
        if step % self._train.log_every == 0 or step == self._train.steps:
            self.latest = self.learner.record()
            self._history.append(self.latest)
            self._trackers.append(self.latest)
        if step == self._train.steps:
            self._finish()
        elif step % self._train.checkpoint_every == 0:
            self.checkpoint()

    def _finish(self) -> None:
        if not is_saved(self.folder):  # else another run of this trial was faster, and its files belong together
            self._history.finish()
            if self.learner.average is not None:
                self.learner.average.apply()
            student, pruning = self.learner.student, self.learner.pruning
            pruned = {} if pruning is None else pruning.changes(student)
            seconds = self.learner.seconds
            save_student(self.folder, self.trial, student, self._shape, self.learner.step, seconds, pruned)
        self._close()

    def _close(self) -> None:
        """End a trial whose student is saved, by this run or by another that is done with its files."""
        self._history.truncate(self._train.steps)
        for name in ("failed.json", "stopped.json"):
            (self.folder / name).unlink(missing_ok=True)
        shutil.rmtree(self._checkpoints, ignore_errors=True)
        self._end(TrialResult(self.trial, self.folder, "finished", self._train.steps))

    def _end(self, result: TrialResult) -> None:
        self.result = result
        self._trackers.close()

    def _due(self) -> bool:
        """Whether waiting for the device is due: always on the CPU, where nothing is waited for."""
        train = self._train
        marks = (train.log_every, train.checkpoint_every, train.steps)
        return self.learner.device.type == "cpu" or any(self.step % mark == 0 for mark in marks)


def note_failure(
    trial: Trial, folder: Path, step: int, reason: str, final: bool = False, details: str | None = None
) -> TrialResult:
    """Write why a trial ended. A final failure would come again; any other is tried again by the next run."""
    write_json(folder / "failed.json", {"reason": reason, "step": step, "final": final, "traceback": details})
    return TrialResult(trial, folder, "failed", step, reason)


def failure_reason(error: Exception) -> str:
    """One line about what ended a trial."""
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or any(word in str(error) for word in _MEMORY):
        return f"{_NO_MEMORY}; a smaller student, fewer students at once or a smaller batch may fit ({text})"
    return f"{type(error).__name__}: {text}"
