"""One trial while it trains, with its files: history, events, checkpoints, and in the end the saved student."""

import shutil
import traceback
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from torch import Tensor

from ...errors import StageFailed
from ..files.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from ..files.durable_files import write_json
from ..files.history import History, Record
from ..files.saved import is_saved, save_student
from ..inputs.columns import SharedInputs
from ..memory.footprint import Footprint
from ..models.builders import StudentShape
from ..ranks.ranks import ALONE, RankFailed, Ranks, RanksLost
from ..spec import TrainSpec
from ..stream.batch import Batch
from ..tracking.tracker import Trackers
from .failure import NO_MEMORY, failure_reason
from .lane import Lane
from .learner import Learner
from .trial import Trial


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
        return self.status == "failed" and (self.reason or "").startswith(NO_MEMORY)


class Training:
    """A learner and its folder. Continues from the newest whole checkpoint. Of several `ranks` the first alone writes,
    and the others wait where they will read."""

    def __init__(
        self,
        learner: Learner,
        folder: Path,
        shape: StudentShape,
        train: TrainSpec,
        ranks: Ranks = ALONE,
        footprint: Footprint | None = None,
    ) -> None:
        self.learner, self.folder, self._ranks = learner, folder, ranks
        spec = learner.trial.student
        self.footprint = footprint or Footprint(learner.device, spec.name, spec.memory)
        self.lane = Lane(learner.device)
        self.latest: Record | None = None
        self.result: TrialResult | None = None
        self._shape, self._train = shape, train
        found = load_checkpoint(self._checkpoints)
        if found is not None:
            learner.restore(found)
        self._history = History(folder / "history.jsonl")
        self._trackers: Trackers | None = None
        if ranks.is_first:
            self._history.begin(learner.step)
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
        """Take the step of a batch if it is this trial's next; whatever goes wrong in it ends this trial alone. It is
        queued on the trial's own lane."""
        if self.result is None and batch.step == self.step:
            with self.lane.work():
                self._take(batch, shared)

    def _take(self, batch: Batch, shared: SharedInputs) -> None:
        try:
            fault = self._ranks.attempt(partial(self._advance, batch, shared))
        except RanksLost:
            raise
        except Exception as error:  # a student may be anybody's code, and the other trials must go on
            details = error.details if isinstance(error, RankFailed) else traceback.format_exc()
            self._fail(failure_reason(error), final=False, details=details)
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
        if self._saved():  # another run of this trial was faster: a checkpoint would be of use to nobody
            self._close()
            return
        self._keep(self.learner.checkpoint())

    def pause(self) -> None:
        """Keep the state for another wave."""
        self.checkpoint()
        if self.result is None and self._trackers is not None:
            self._trackers.close()

    def meet(self) -> None:
        """Begin where the first of the ranks begins. Raises StageFailed when another has found another checkpoint."""
        step = self.step
        if self._ranks.largest([step, -step]) != [step, -step]:
            raise StageFailed(
                f"{self.folder}: the ranks see different checkpoints in it; on several machines `output` must be a "
                "folder that all of them share"
            )
        self._ranks.follow(_in_order(self.learner.checkpoint()))

    def _advance(self, batch: Batch, shared: SharedInputs) -> str | None:
        """Take the step, and say what is wrong afterwards."""
        last = self.step + 1
        with self.footprint.step(also=last % self._train.log_every == 0):
            self.learner.advance(batch, shared)
        return self.learner.watch.look() if self._due() else None

    def _keep(self, state: Checkpoint) -> None:
        """Write a checkpoint. Raises StageFailed when the ranks do not hold the same student any more."""
        if not self._ranks.alike(_in_order(state)):
            raise StageFailed(
                f"{self.trial.name}: the ranks hold different weights after step {self.step}; train it on devices that "
                "are all of one kind. The checkpoint before is whole"
            )
        if self._ranks.is_first:
            self._history.sync()
            save_checkpoint(self._checkpoints, state)
        self._ranks.wait()

    def _saved(self) -> bool:
        return self._ranks.first_says(lambda: is_saved(self.folder))

    def _fail(self, reason: str, final: bool, details: str | None = None) -> None:
        written = self._ranks.is_first
        self._end(note_failure(self.trial, self.folder, self.step, reason, final, details, written))

    def _write(self) -> None:
        step = self.step
        if step % self._train.log_every == 0 or step == self._train.steps:
            self.latest = self.learner.record()
            if self._trackers is not None:
                self._history.append(self.latest)
                self._trackers.append(self.latest)
        if step == self._train.steps:
            self._finish()
        elif step % self._train.checkpoint_every == 0:
            self.checkpoint()

    def _finish(self) -> None:
        if not self._saved():  # else another run of this trial was faster, and its files belong together
            if self.learner.average is not None:
                self.learner.average.apply()
            if self._ranks.is_first:
                self._save()
        self._close()

    def _save(self) -> None:
        self._history.finish()
        student, pruning = self.learner.student, self.learner.pruning
        pruned = {} if pruning is None else pruning.changes(student)
        seconds = self.learner.seconds
        save_student(self.folder, self.trial, student, self._shape, self.learner.step, seconds, pruned)

    def _close(self) -> None:
        """End a trial whose student is saved, by this run or by another that is done with its files."""
        if self._ranks.is_first:
            self._history.tidy()
            for name in ("failed.json", "stopped.json"):
                (self.folder / name).unlink(missing_ok=True)
            shutil.rmtree(self._checkpoints, ignore_errors=True)
        self._ranks.wait()
        self._end(TrialResult(self.trial, self.folder, "finished", self._train.steps))

    def _end(self, result: TrialResult) -> None:
        self.result = result
        if self._trackers is not None:
            self._trackers.close()

    def _due(self) -> bool:
        """Whether waiting for the device is due: always on the CPU, where nothing is waited for."""
        train = self._train
        marks = (train.log_every, train.checkpoint_every, train.steps)
        return self.learner.device.type == "cpu" or any(self.step % mark == 0 for mark in marks)


def _in_order(state: Checkpoint) -> list[Tensor]:
    """Its tensors, in an order that is the same in every process, wherever it comes from."""
    return [state.tensors[name] for name in sorted(state.tensors)]


def note_failure(
    trial: Trial,
    folder: Path,
    step: int,
    reason: str,
    final: bool = False,
    details: str | None = None,
    written: bool = True,
) -> TrialResult:
    """Write (where it is to be `written`) why a trial ended. A final failure would come again; any other is tried again
    by the next run."""
    if written:
        write_json(folder / "failed.json", {"reason": reason, "step": step, "final": final, "traceback": details})
    return TrialResult(trial, folder, "failed", step, reason)
