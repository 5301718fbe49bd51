"""Rungs: steps at which the weak trials of sweeps stop, whoever decides: successive halving, or a pruner of Optuna."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Protocol

from ...errors import StageError
from ..spec import TrainSpec
from ..trial.trial import Trial


@dataclass(frozen=True, slots=True)
class Stop:
    """A trial that goes no further than step `step`, and why; its rank among `of` where it has one."""

    trial: Trial
    step: int
    reason: str
    rank: int | None = None
    of: int | None = None


class Rungs(Protocol):
    """When and how it is decided which trials stop."""

    @property
    def steps(self) -> tuple[int, ...]:
        """After how many steps, rising. StageError where nothing is recorded to decide by."""

    def check(self, trial: Trial, terms: Iterable[str]) -> None:
        """Raise StageError where a trial with these terms cannot be compared with the others."""

    def decides(self, trial: Trial) -> bool:
        """Whether a trial that was stopped stays so."""

    def weak(self, trials: Sequence[Trial], students: Path, step: int) -> list[Stop]:
        """Which of the trials that came to the rung at `step` stop there; what was decided before is obeyed."""


def rung_steps(shares: Sequence[float], train: TrainSpec, place: str) -> tuple[int, ...]:
    """The steps of rungs at `shares` of the training. Raises StageError where nothing is recorded to decide by."""
    steps = tuple(ceil(share * train.steps) for share in shares)
    for step in steps:
        if step // train.log_every * train.log_every <= step // 2:
            raise StageError(f"{place}.rungs: nothing is recorded before step {step}; make train.log_every less")
    if len(set(steps)) < len(steps) or (steps and steps[-1] >= train.steps):
        raise StageError(f"{place}.rungs: {train.steps} steps are too few for these rungs")
    return steps
