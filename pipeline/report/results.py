"""What the report says of each model: the teacher, and each student under each arm over its seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from statistics import fmean
from typing import Any

from ...cache import Cache
from .errors import ReportError
from .evaluation import Breakdown, ClassAccuracy, Evaluation, Latency, Parameters, ReliabilityBin, read_evaluation
from .history import Curve, curve
from .set_results import Judged, SetResult, measured_on, set_result
from .spread import Difference, Spread
from .trials import FailedTrial, FinishedTrial, TrialStates

BASELINE = "labels-only"
_BINS = 15


@dataclass(frozen=True, slots=True)
class TeacherResult:
    """The teacher on the held-out samples; `facts` are what the cache's manifest says of it, `primary` is its primary
    figure, None where it is not judged by that metric."""

    facts: Mapping[str, Any]
    evaluation: Evaluation
    primary: float | None


@dataclass(frozen=True, slots=True)
class ArmResult:
    """A student under one arm. `primary` is its primary figure; `retention` its share of the teacher's (where less is
    better, the teacher's share of its own), None without one; `gain` how much better it is than the same student (or
    the ladder's lowest rung) from labels only, None for that arm itself; `reduction` the share of the teacher's
    parameters that it does without;
    `sets` the same of the other held-out sets."""

    student: str
    arm: str
    seeds: tuple[int, ...]
    failed: tuple[FailedTrial, ...]
    parameters: Parameters
    bytes: int | None
    latency: Mapping[str, Latency]
    peak_memory_mb: float | None
    machine: Mapping[str, Any]
    metrics: Mapping[str, Spread]
    primary: Spread
    retention: Spread | None
    gain: Difference | None
    reduction: float | None
    per_class: tuple[ClassAccuracy, ...]
    reliability: tuple[ReliabilityBin, ...]
    curve: Curve | None
    breakdowns: tuple[Breakdown, ...]
    sets: Mapping[str, SetResult]


def teacher_result(run: Path, held_out: Cache, judged: Judged) -> TeacherResult:
    """The teacher's figures. Raises ReportError when it has not been evaluated."""
    folder = run / "teacher"
    evaluation = read_evaluation(folder, held_out.manifest.digest, judged.others)
    if evaluation is None or not evaluation.metrics:
        raise ReportError(f"{folder} holds no evaluation of the teacher; run `teachercache evaluate` and report again")
    return TeacherResult(dict(held_out.manifest.teacher), evaluation, evaluation.metrics.get(judged.primary))


def arm_results(
    states: TrialStates, teacher: TeacherResult, judged: Judged, labels: str | None = None
) -> tuple[ArmResult, ...]:
    """One result for each student and arm with a finished trial, in the order of the configuration. `labels` is the
    student whose trials from labels only stand for those of students of the same form that have none."""
    arms: dict[tuple[str, str], list[FinishedTrial]] = {}
    for found in states.finished:
        _check(found, teacher, judged)
        arms.setdefault((found.trial.student.name, found.trial.arm), []).append(found)
    shared = arms.get((labels or "", BASELINE), [])
    return tuple(
        _arm_result(
            trials,
            states.failed,
            teacher,
            judged,
            [] if arm == BASELINE else arms.get((student, BASELINE)) or _of_its_form(shared, trials[0]),
        )
        for (student, arm), trials in arms.items()
    )


def _of_its_form(baseline: Sequence[FinishedTrial], one: FinishedTrial) -> Sequence[FinishedTrial]:
    """The baseline, where it is a student of the same form that sees the same; none for another student."""
    forms = [(it.use, it.args, it.takes) for it in (found.trial.student for found in (*baseline[:1], one))]
    return baseline if forms[0] == forms[-1] else []


def _arm_result(
    trials: Sequence[FinishedTrial],
    failed: Sequence[FailedTrial],
    teacher: TeacherResult,
    judged: Judged,
    baseline: Sequence[FinishedTrial],
) -> ArmResult:
    first, evaluations = trials[0], [one.evaluation for one in trials]
    student, arm = first.trial.student.name, first.trial.arm
    peaks = [one.peak_memory_mb for one in evaluations if one.peak_memory_mb is not None]
    parameters = first.evaluation.parameters
    main = set_result(trials, baseline, teacher.evaluation, judged, None)
    return ArmResult(
        student=student,
        arm=arm,
        seeds=tuple(one.trial.seed for one in trials),
        failed=tuple(one for one in failed if (one.student, one.arm) == (student, arm)),
        parameters=parameters,
        bytes=first.evaluation.bytes,
        latency=_latency(evaluations),
        peak_memory_mb=max(peaks, default=None),
        machine=first.evaluation.machine,
        metrics=main.metrics,
        primary=main.metrics[judged.primary],
        retention=main.retention,
        gain=main.gain,
        reduction=_reduction(parameters.total, teacher.evaluation.parameters.total),
        per_class=_per_class(evaluations),
        reliability=_reliability(evaluations),
        curve=curve([one.history for one in trials if one.history is not None]),
        breakdowns=main.breakdowns,
        sets={name: set_result(trials, baseline, teacher.evaluation, judged, name) for name in judged.others},
    )


def _reduction(own: int | None, teacher: int | None) -> float | None:
    return None if own is None or not teacher else 1 - own / teacher


def _check(found: FinishedTrial, teacher: TeacherResult, judged: Judged) -> None:
    for name in (None, *judged.others):
        where = "" if name is None else f" on the set {name}"
        if judged.primary not in measured_on(found.evaluation, name).metrics:
            raise ReportError(
                f"{found.folder}: its evaluation has no {judged.primary}{where}; "
                "remove it and run `teachercache evaluate`"
            )
    if found.evaluation.samples != teacher.evaluation.samples:
        raise ReportError(
            f"{found.folder} was evaluated on {found.evaluation.samples} samples and the teacher on "
            f"{teacher.evaluation.samples}; remove both evaluation.json and run `teachercache evaluate`"
        )


def _latency(evaluations: Sequence[Evaluation]) -> dict[str, Latency]:
    """Means over seeds, of the batch sizes that every seed was measured at."""
    shared = [batch for batch in evaluations[0].latency if all(batch in one.latency for one in evaluations)]
    return {batch: mean_latency([one.latency[batch] for one in evaluations]) for batch in shared}


def mean_latency(measured: Sequence[Latency]) -> Latency:
    """The mean of several measurements of one batch size."""
    return Latency(
        fmean(one.p50_ms for one in measured),
        fmean(one.p95_ms for one in measured),
        fmean(one.samples_per_second for one in measured),
    )


def _per_class(evaluations: Sequence[Evaluation]) -> tuple[ClassAccuracy, ...]:
    """Means over seeds; all seeds saw the same samples."""
    found = []
    for same in zip(*(one.per_class for one in evaluations), strict=False):
        known = [one.top1 for one in same if one.top1 is not None]
        found.append(ClassAccuracy(same[0].name, same[0].samples, fmean(known) if known else None))
    return tuple(found)


def _reliability(evaluations: Sequence[Evaluation]) -> tuple[ReliabilityBin, ...]:
    """The seeds' bins put together: a bin of the mean weighs each seed by the samples that it had there."""
    bins: dict[int, list[ReliabilityBin]] = {}
    for one in (entry for evaluation in evaluations for entry in evaluation.reliability):
        bins.setdefault(max(ceil(one.confidence * _BINS) - 1, 0), []).append(one)
    return tuple(_merged(bins[number], len(evaluations)) for number in sorted(bins))


def _merged(entries: Sequence[ReliabilityBin], seeds: int) -> ReliabilityBin:
    share = sum(one.share for one in entries)
    weights = [one.share / share if share else 1 / len(entries) for one in entries]
    confidence = sum(one.confidence * weight for one, weight in zip(entries, weights, strict=True))
    accuracy = sum(one.accuracy * weight for one, weight in zip(entries, weights, strict=True))
    return ReliabilityBin(confidence, accuracy, share / seeds)
