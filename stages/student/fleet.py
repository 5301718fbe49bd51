"""Many trials on one stream: a batch is read, joined, copied and decoded once, and every trial takes a step on it.

What does not fit at once waits for the next wave, which reads the stream again; a trial ends equal in any wave.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from ..errors import Interrupted, StageFailed
from .files.durable_files import read_json
from .files.history import Record
from .files.identity import claim_folder, trial_identity
from .files.lock import Patience, folder_lock
from .files.saved import is_saved
from .memory.footprint import GB, Footprint
from .memory.gpu import room_of
from .models.builders import StudentShape, origin_fingerprint
from .ranks.ranks import ALONE, RankFailed, Ranks
from .spec import TrainSpec
from .stream.batch_stream import BatchStream
from .sweep.halving import HalvingRungs
from .sweep.rungs import Rungs
from .sweep.stopped import note_stop
from .tracking.tracker import require_trackers
from .trial.assembly import assemble, shape_of
from .trial.failure import failure_reason
from .trial.learner import Learner, PhaseParts
from .trial.training import Training, TrialResult, note_failure
from .trial.trial import Trial, needs_labels
from .waves import Waves


@dataclass(frozen=True, slots=True)
class FleetProgress:
    """After a batch: `step` of `steps`, the latest record of each trial in training (None before its first) and how
    many steps it has taken (`at`), why others failed, how many wait for another wave, and how many are
    `over`, finished or stopped."""

    step: int
    steps: int
    training: Mapping[str, Record | None]
    failed: Mapping[str, str]
    waiting: int = 0
    at: Mapping[str, int] = field(default_factory=dict)
    over: int = 0


def train_fleet(
    trials: Sequence[Trial],
    stream: BatchStream,
    shape: StudentShape,
    students: Path,
    train: TrainSpec,
    device: torch.device,
    stop: Callable[[], bool] = lambda: False,
    progress: Callable[[FleetProgress], None] = lambda _: None,
    patience: float | None = None,
    rungs: Rungs | None = None,
    ranks: Ranks = ALONE,
) -> list[TrialResult]:
    """Train `trials` below the folder `students`, and return how each ended, in their order.

    The same call again continues where it stopped and trains no finished trial. A trial that fails is dropped with its
    reason, and the others go on. Another process that trains one of them is an error, or with `patience` is waited for
    that many seconds and then run beside: both would end with a whole student. `rungs` say which trials stop early;
    left out, `train.halving` does. Several `ranks` make the same call, each with a stream of its part of the batches;
    the first writes. Raises StageError before the first step for settings that cannot work and folders that other
    settings began, Interrupted (after checkpoints) once `stop()` is true, StageFailed when every trial failed.
    """
    fleet = _Fleet(stream, shape, students, train, device, rungs or HalvingRungs(train), ranks)
    with ExitStack() as held, torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        waiting = None if patience is None else Patience(time.monotonic() + patience, stop)
        results = ranks.first_says(lambda: fleet.open(trials, held, waiting))
        fleet.run(trials, results, lambda: ranks.any(stop()), progress)
    if trials and all(result.status == "failed" for result in results.values()):
        reasons = "\n  ".join(f"{name}: {result.reason}" for name, result in results.items())
        raise StageFailed(f"every trial failed:\n  {reasons}")
    return [results[trial.name] for trial in trials]


def check_fleet(
    trials: Sequence[Trial],
    stream: BatchStream,
    shape: StudentShape,
    train: TrainSpec,
    rungs: Rungs | None = None,
    several: bool = False,
) -> None:
    """Build each student and objective once, and nothing else. Raises StageError for what cannot work, and for what
    `several` processes cannot do together."""
    require_trackers(train.track)
    rungs = rungs or HalvingRungs(train)
    _ = rungs.steps
    if needs_labels(trials):
        stream.require_labels()
    for trial in {(trial.student.name, trial.arm): trial for trial in trials}.values():
        _, phases = assemble(trial, stream, shape, train.steps, several)
        rungs.check(trial, (name for part in phases for name in part.objective.weights({})))


@dataclass(frozen=True, slots=True)
class _Fleet:
    """What the trials of one call share."""

    stream: BatchStream
    shape: StudentShape
    students: Path
    train: TrainSpec
    device: torch.device
    rungs: Rungs
    ranks: Ranks = ALONE
    took: dict[str, int] = field(default_factory=dict)  # bytes of a GPU by student, as measured so far

    def open(self, trials: Sequence[Trial], held: ExitStack, waiting: Patience | None) -> dict[str, TrialResult]:
        """Results of trials that are over; the folders of all are locked until `held` ends. Raises StageError for what
        cannot work, before any step."""
        for trial in trials:
            held.enter_context(folder_lock(trial.folder(self.students), waiting))
        require_trackers(self.train.track)
        for trial in trials:
            inputs, fingerprint = self.stream.input_shapes(trial.student.takes), self.stream.cache_fingerprint
            origin = origin_fingerprint(trial.student, self.shape)
            identity = trial_identity(trial, self.train, fingerprint, inputs, origin)
            claim_folder(trial.folder(self.students), identity)
        results = {trial.name: ended for trial in trials if (ended := self._ended(trial)) is not None}
        todo = [trial for trial in trials if trial.name not in results]
        if len(todo) > (self.train.at_once or len(todo)):  # else the first wave checks them all
            check_fleet(todo, self.stream, self.shape, self.train, self.rungs, self.ranks.size > 1)
        if needs_labels(todo):
            self.stream.require_labels()
        _ = self.rungs.steps
        return results

    def run(
        self,
        trials: Sequence[Trial],
        results: dict[str, TrialResult],
        stop: Callable[[], bool],
        progress: Callable[[FleetProgress], None],
    ) -> None:
        """Wave after wave, until no trial waits; at each rung of a sweep its weak trials stop."""
        for until in (*self.rungs.steps, self.train.steps):
            waves = Waves([trial for trial in trials if trial.name not in results], self.train.at_once)
            while wave := self._next(waves):
                training, crowded = self._open_wave(wave, results)
                waves.back(crowded, len(training))
                self._run_wave(training, until, results, stop, progress, waves)
            if until < self.train.steps:
                self._stop_weak(trials, results, until)

    def _next(self, waves: Waves) -> list[Trial]:
        """The next wave: on a GPU as many as fit by their budgets, or by what trials of their students took before."""
        room = room_of(self.device)
        if room is None:
            return waves.next()
        known = waves.students()
        least, *took = self.ranks.largest([-room, *(self.took.get(one.name, 0) for one in known)])
        needs = {one.name: int(one.memory * GB) if one.memory else took[n] for n, one in enumerate(known)}
        return waves.next({name: need for name, need in needs.items() if need}, -least)

    def _stop_weak(self, trials: Sequence[Trial], results: dict[str, TrialResult], step: int) -> None:
        results |= self.ranks.first_says(lambda: self._stopped(trials, results, step))

    def _stopped(
        self, trials: Sequence[Trial], results: Mapping[str, TrialResult], step: int
    ) -> dict[str, TrialResult]:
        there = [one for one in trials if one.name not in results or results[one.name].status != "stopped"]
        weak = [one for one in self.rungs.weak(there, self.students, step) if one.trial.name not in results]
        return {one.trial.name: note_stop(one, one.trial.folder(self.students)) for one in weak}

    def _open_wave(
        self, wave: Sequence[Trial], results: dict[str, TrialResult]
    ) -> tuple[list[Training], list[TrialResult]]:
        """The trials of a wave, each ready at its own step, and the failures of those that found no memory."""
        several = self.ranks.size > 1
        built = [(trial, *assemble(trial, self.stream, self.shape, self.train.steps, several)) for trial in wave]
        built.reverse()
        for trial, _, phases in built:
            self.rungs.check(trial, (name for part in phases for name in part.objective.weights({})))
        opened = [self._begin(*built.pop()) for _ in wave]  # one that finds no memory lets go of its own at once
        crowded = [one for one in opened if isinstance(one, TrialResult)]
        results |= {one.trial.name: one for one in crowded}
        return [one for one in opened if isinstance(one, Training)], crowded

    def _run_wave(
        self,
        training: list[Training],
        until: int,
        results: dict[str, TrialResult],
        stop: Callable[[], bool],
        progress: Callable[[FleetProgress], None],
        waves: Waves,
    ) -> None:
        """One pass over the batches up to `until` that some trial still needs. Trials that end leave `training`, and
        their memory; the others are kept on the disk."""
        steps, start = self.train.steps, min((one.step for one in training), default=until)
        for batch in self.stream.batches(start, until) if start < until else ():
            shared = batch.shared()
            for one in training:
                one.take(batch, shared)
            for one in training:
                one.lane.join()
                name = one.trial.student.name
                self.took[name] = max(self.took.get(name, 0), one.footprint.most)
            results |= {one.trial.name: one.result for one in training if one.result is not None}
            crowded = [one.result for one in training if one.result is not None and one.result.no_memory]
            training[:] = [one for one in training if one.result is None]
            waves.back(crowded, len(training))
            latest = {one.trial.name: one.latest for one in training}
            failed = {
                name: one.reason
                for name, one in results.items()
                if one.status == "failed" and one.reason and one.trial not in waves
            }
            at = {one.trial.name: one.step for one in training}
            over = sum(one.status != "failed" for one in results.values())
            progress(FleetProgress(batch.step + 1, steps, latest, failed, len(waves), at, over))
            if (training or waves) and stop():
                self._interrupt(training, batch.step + 1)
            if not training:
                return
        for one in training:
            one.pause()
        results |= {one.trial.name: one.result for one in training if one.result is not None}
        training.clear()  # and with it their memory, before the next wave is built

    def _interrupt(self, training: Sequence[Training], step: int) -> None:
        for one in training:
            one.pause()
        raise Interrupted(f"stopped at step {step} of {self.train.steps}; the same command continues there")

    def _ended(self, trial: Trial) -> TrialResult | None:
        """The result of an earlier run, when there is nothing left to do."""
        folder = trial.folder(self.students)
        if is_saved(folder):
            return TrialResult(trial, folder, "finished", self.train.steps)
        stopped = read_json(folder / "stopped.json")
        if stopped is not None and self.rungs.decides(trial):
            return TrialResult(trial, folder, "stopped", stopped["step"], stopped["reason"])
        failed = read_json(folder / "failed.json")
        if failed is None or not failed["final"]:
            return None
        return TrialResult(trial, folder, "failed", failed["step"], failed["reason"])

    def _begin(self, trial: Trial, student: nn.Module, phases: Sequence[PhaseParts]) -> Training | TrialResult:
        """A trial on the device at its last checkpoint; a failed one when it does not fit there."""
        folder = trial.folder(self.students)

        def begin() -> Training:
            footprint = Footprint(self.device, trial.student.name, trial.student.memory)
            with footprint.begun():
                learner = Learner(trial, student, phases, self.device, self.ranks)
                shape = shape_of(trial.student, self.stream, self.shape)
                return Training(learner, folder, shape, self.train, self.ranks, footprint)

        try:
            training = self.ranks.attempt(begin)
        except (MemoryError, torch.OutOfMemoryError, RankFailed) as error:
            if isinstance(error, RankFailed) and not error.no_memory:
                raise
            return note_failure(trial, folder, 0, failure_reason(error), written=self.ranks.is_first)
        training.meet()
        return training
