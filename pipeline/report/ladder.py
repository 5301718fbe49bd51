"""The ladder: students as rungs, each with its gain over the rung before, on every held-out set.

It begins with labels only and ends with the shuffled cache, where they were trained, so that neither is forgotten.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..config import Config
from .set_results import Judged, by_seed
from .spread import Difference, Spread, gain_over, spread
from .trials import FinishedTrial


@dataclass(frozen=True, slots=True)
class RungValue:
    """The primary figure of a rung on one set, over seeds; `step` is its gain over the rung that `over` names, paired
    by seed."""

    value: Spread
    step: Difference | None


@dataclass(frozen=True, slots=True)
class Rung:
    """One row: a student under an arm, with its value on every set by name, the main one first."""

    student: str
    arm: str
    parameters: int | None
    seeds: tuple[int, ...]
    values: Mapping[str, RungValue]


@dataclass(frozen=True, slots=True)
class Ladder:
    """The rungs from the lowest; `control` is the shuffled cache of the highest, with its gain over labels only."""

    rungs: tuple[Rung, ...]
    control: Rung | None


_Trials = dict[tuple[str, str], list[FinishedTrial]]


def build_ladder(config: Config, finished: Sequence[FinishedTrial], judged: Judged) -> Ladder | None:
    """None where none is asked for, or fewer than two rungs are trained."""
    names = _names(config)
    arms: _Trials = {}
    for one in finished:
        arms.setdefault((one.trial.student.name, one.trial.arm), []).append(one)
    keys = _keys(config, names, arms)
    if len(keys) < 2:
        return None
    pairs = zip(keys, [None, *keys], strict=False)
    rungs = tuple(_rung(arms[key], None if before is None else arms[before], judged) for key, before in pairs)
    shuffled = next(((n, "shuffled-cache") for n in reversed(names) if (n, "shuffled-cache") in arms), None)
    lowest = arms[keys[0]] if keys[0][1] == "labels-only" else None
    return Ladder(rungs, None if shuffled is None else _rung(arms[shuffled], lowest, judged))


def labels_rung(config: Config) -> str | None:
    """The student that is the ladder's rung of labels only and nothing else: what other rungs gain over labels is over
    its trials. None where there is no such rung, or where rungs are not all of one architecture."""
    rungs = [one for one in config.students if one.name in _names(config)]
    if any((one.use, one.args) != (rungs[0].use, rungs[0].args) for one in rungs):
        return None
    return next((one.name for one in rungs if one.control == "labels-only"), None)


def _names(config: Config) -> list[str]:
    asked = config.evaluate.ladder
    return [one.name for one in config.students] if asked is True else list(asked or ())


def _keys(config: Config, names: Sequence[str], arms: _Trials) -> list[tuple[str, str]]:
    """(student, arm) of the rungs that are trained: labels only of the first student that has it, then each student."""
    controls = {one.name: one.control for one in config.students}
    own = [(name, controls[name] or "distilled") for name in names if controls[name] != "shuffled-cache"]
    labels = next(((name, "labels-only") for name in names if (name, "labels-only") in arms), None)
    first = [labels] if labels is not None and labels not in own else []
    return [key for key in [*first, *own] if key in arms]


def _rung(trials: Sequence[FinishedTrial], before: Sequence[FinishedTrial] | None, judged: Judged) -> Rung:
    first = trials[0]
    values = {name: _value(trials, before, judged, None if name == judged.main else name) for name in _sets(judged)}
    seeds = tuple(one.trial.seed for one in trials)
    return Rung(first.trial.student.name, first.trial.arm, first.evaluation.parameters.total, seeds, values)


def _value(
    trials: Sequence[FinishedTrial], before: Sequence[FinishedTrial] | None, judged: Judged, name: str | None
) -> RungValue:
    own = by_seed(trials, judged.primary, name)
    if before is None:
        return RungValue(spread(list(own.values())), None)
    over = before[0].trial.student.name if before[0].trial.arm != "labels-only" else "labels-only"
    return RungValue(
        spread(list(own.values())), gain_over(own, by_seed(before, judged.primary, name), over, judged.kind.better)
    )


def _sets(judged: Judged) -> tuple[str, ...]:
    return judged.main, *judged.others
