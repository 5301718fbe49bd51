"""The Pareto front: shapes to which no other is equal or better in figure and cost both."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ...errors import StageError
from ...student.spec import TrainSpec
from ...student.sweep.rungs import Stop, rung_steps
from ...student.sweep.score import score
from ...student.trial.trial import Trial
from .spec import ArchitectureSpec

Outcome = Literal["finished", "stopped", "too-costly", "failed"]
_BEATEN_BY = 2  # one cheaper shape that does better by a rung may be luck


@dataclass(frozen=True, slots=True)
class ShapePoint:
    """A shape that was tried: what was set, what came of it and why, what it costs, its figure where it finished."""

    name: str
    values: Mapping[str, Any]
    outcome: Outcome
    reason: str | None
    costs: Mapping[str, float] = field(default_factory=dict)
    figure: float | None = None


def pareto_front(points: Iterable[ShapePoint], cost: str, better: Literal["higher", "lower"]) -> list[ShapePoint]:
    """Of the finished points those that none beats, the cheapest first; of equals the first."""
    finished = [point for point in points if point.figure is not None]
    sign = -1.0 if better == "higher" else 1.0
    found: list[ShapePoint] = []
    for point in sorted(finished, key=lambda one: (one.costs[cost], sign * (one.figure or 0.0))):
        if not found or sign * (point.figure or 0.0) < sign * (found[-1].figure or 0.0):
            found.append(point)
    return found


@dataclass(frozen=True, slots=True)
class FrontRungs:
    """At a rung a shape stops when two others, of this round or an earlier one, cost no more and do better by the
    histories up to there. `rivals` are all trials so far, `costs` by student."""

    spec: ArchitectureSpec
    train: TrainSpec
    rivals: Sequence[Trial]
    costs: Mapping[str, float]

    @property
    def steps(self) -> tuple[int, ...]:
        """See Rungs."""
        return rung_steps(self.spec.rungs, self.train, "architecture")

    def check(self, trial: Trial, terms: Iterable[str]) -> None:
        """See Rungs."""
        known = sorted({"loss", *terms})
        if self.spec.rungs and self.spec.by not in known:
            raise StageError(f"architecture.by: {trial.student.name} has no term {self.spec.by!r}; there are {known}")

    def decides(self, trial: Trial) -> bool:
        """See Rungs."""
        return bool(self.spec.rungs)

    def weak(self, trials: Sequence[Trial], students: Path, step: int) -> list[Stop]:
        """See Rungs."""
        names = dict.fromkeys(trial.student.name for trial in self.rivals)
        scores = {name: score(name, self.rivals, students, self.spec.by, step) for name in names}
        stops = []
        for trial in trials:
            own, cost = scores[trial.student.name], self.costs[trial.student.name]
            better = [
                name
                for name, other in scores.items()
                if own is not None and other is not None and other < own and self.costs[name] <= cost
            ]
            if len(better) >= _BEATEN_BY:
                reason = f"at step {step} {better[0]} and {better[1]} cost no more and do better by {self.spec.by}"
                stops.append(Stop(trial, step, reason))
        return stops
