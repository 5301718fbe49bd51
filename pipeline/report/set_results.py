"""What students are worth on one held-out set: figures over seeds, gain over labels only, share of the teacher's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from ...stages.deploy.metrics.figure_kind import FigureKind
from .evaluation import Breakdown, Evaluation, SetEvaluation
from .spread import Difference, Spread, gain_over, spread
from .trials import FinishedTrial

_BASELINE = "labels-only"


@dataclass(frozen=True, slots=True)
class Judged:
    """What everyone is judged by: every figure in order, the primary one, the name of the main set, and the digests of
    the other held-out caches by the name of their set."""

    kinds: Mapping[str, FigureKind]
    primary: str
    main: str
    others: Mapping[str, str]

    @property
    def kind(self) -> FigureKind:
        """What the primary figure is."""
        return self.kinds[self.primary]


@dataclass(frozen=True, slots=True)
class SetResult:
    """A student under one arm on one set, as `ArmResult` says."""

    metrics: Mapping[str, Spread]
    retention: Spread | None
    gain: Difference | None
    breakdowns: tuple[Breakdown, ...]


def measured_on(evaluation: Evaluation, name: str | None) -> Evaluation | SetEvaluation:
    """The part of an evaluation that is of a set; None is the main one. An empty one where the set is not in it."""
    return evaluation if name is None else evaluation.sets.get(name, SetEvaluation(0, {}))


def set_result(
    trials: Sequence[FinishedTrial],
    baseline: Sequence[FinishedTrial],
    teacher: Evaluation,
    judged: Judged,
    name: str | None,
) -> SetResult:
    """The result of the trials of one arm; `baseline` are those from labels only, none for that arm itself."""
    measured = [measured_on(one.evaluation, name) for one in trials]
    own, others = by_seed(trials, judged.primary, name), by_seed(baseline, judged.primary, name)
    shared = [key for key in judged.kinds if all(key in one.metrics for one in measured)]
    whole = measured_on(teacher, name).metrics.get(judged.primary)
    return SetResult(
        {key: spread([one.metrics[key] for one in measured]) for key in shared},
        None if whole is None else spread([_retained(value, whole, judged.kind) for value in own.values()]),
        gain_over(own, others, _BASELINE, judged.kind.better) if others else None,
        _breakdowns(measured),
    )


def by_seed(trials: Sequence[FinishedTrial], key: str, name: str | None) -> dict[int, float]:
    """A figure on a set by seed."""
    return {one.trial.seed: measured_on(one.evaluation, name).metrics[key] for one in trials}


def _retained(own: float, teacher: float, kind: FigureKind) -> float:
    share, whole = (own, teacher) if kind.better == "higher" else (teacher, own)
    return share / whole if whole else 0.0


def _breakdowns(measured: Sequence[Evaluation | SetEvaluation]) -> tuple[Breakdown, ...]:
    """Means over seeds; all seeds saw the same samples."""
    return tuple(_mean(same) for same in zip(*(one.breakdowns for one in measured), strict=False))


def _mean(same: Sequence[Breakdown]) -> Breakdown:
    rows = [
        (seeds[0][0], seeds[0][1], fmean(share for _, _, share in seeds))
        for seeds in zip(*(one.rows for one in same), strict=False)
    ]
    return Breakdown(same[0].figure, same[0].by, tuple(rows))
