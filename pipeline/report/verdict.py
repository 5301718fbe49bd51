"""The one sentence at the head of the report, computed from the figures: does distillation help, and does the control?

"Gains" and "does not" are decided by the paired 95 % t interval over seeds; with one seed by the sign, and it says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ...stages.deploy.metrics.figure_kind import FigureKind
from .figure_words import gain_words, shown, shown_gain, shown_spread, with_unit
from .quantities import listing
from .results import ArmResult, TeacherResult

Outcome = Literal["gain", "mixed", "no-gain", "control-gains", "unknown"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """`outcome`: gain (all students, control clean), mixed (some students), no-gain, control-gains (so does the
    shuffled cache), unknown (no labels-only arm to compare with)."""

    outcome: Outcome
    sentence: str


def verdict(arms: Sequence[ArmResult], teacher: TeacherResult, kind: FigureKind) -> Verdict:
    """The verdict on all students that were distilled and trained from labels only, by the primary figure."""
    distilled = [one for one in arms if one.arm == "distilled" and one.gain is not None]
    shuffled = [one for one in arms if one.arm == "shuffled-cache" and one.gain is not None]
    if not distilled:
        return Verdict("unknown", _unknown(arms, teacher, kind))
    gaining = [one for one in distilled if _direction(one) > 0]
    fooled = [one for one in shuffled if _direction(one) > 0]
    outcome: Outcome = "no-gain" if not gaining else "mixed" if len(gaining) < len(distilled) else "gain"
    if gaining and fooled:
        outcome = "control-gains"
    effect = _effect(distilled, gaining, kind) + _control(gaining, shuffled, fooled, kind)
    return Verdict(outcome, effect + _seeds(distilled))


def _effect(distilled: Sequence[ArmResult], gaining: Sequence[ArmResult], kind: FigureKind) -> str:
    if not gaining:
        return _no_effect(distilled, kind)
    losing = [one for one in distilled if _direction(one) < 0]
    rest = [one for one in distilled if one not in gaining and one not in losing]
    if len(distilled) == 1:
        return f"Distillation gains {_amount(gaining[0], kind, sign=False)} over labels only"
    text = f"Over labels only, distillation gains {_amounts(gaining, kind, sign=False)}"
    unsure = f", and nothing certain for {_named(rest, kind)}" if rest else ""
    return text + unsure + (f", and {_named(losing, kind)} {_are_worse(losing)}" if losing else "")


def _are_worse(arms: Sequence[ArmResult]) -> str:
    return "is worse for it" if len(arms) == 1 else "are worse for it"


def _no_effect(distilled: Sequence[ArmResult], kind: FigureKind) -> str:
    amounts = _amounts(distilled, kind) if len(distilled) > 1 else _amount(distilled[0], kind)
    if all(_direction(one) < 0 for one in distilled):
        return f"Distillation is worse than labels only: {amounts}"
    if all(one.gain is not None and one.gain.mean > 0 for one in distilled):
        return f"Distillation shows no clear gain over labels only: {amounts}"
    return f"Distillation does not beat labels only: {amounts}"


def _control(
    gaining: Sequence[ArmResult], shuffled: Sequence[ArmResult], fooled: Sequence[ArmResult], kind: FigureKind
) -> str:
    if not shuffled:
        return "; no shuffled cache was tried"
    if not fooled:
        return "; the shuffled cache does not" if gaining else "; nor does the shuffled cache"
    one = len(shuffled) == 1
    amounts = _amount(fooled[0], kind, sign=False) if one else _amounts(fooled, kind, sign=False)
    if not gaining:
        return f"; a shuffled cache gains {amounts}, which no knowledge of the teacher's explains"
    return f", but the shuffled cache gains {amounts} too: that much is not the teacher's knowledge"


def _seeds(distilled: Sequence[ArmResult]) -> str:
    fewest = min(len(one.gain.seeds) for one in distilled if one.gain is not None)
    return "." if fewest > 1 else " (one seed only: chance is not ruled out)."


def _unknown(arms: Sequence[ArmResult], teacher: TeacherResult, kind: FigureKind) -> str:
    best = (max if kind.better == "higher" else min)(arms, key=lambda one: one.primary.mean)
    reached = f"{best.student} ({best.arm}) reaches {with_unit(kind, shown_spread(kind, best.primary))}"
    if teacher.primary is not None:
        reached += f", the teacher {with_unit(kind, shown(kind, teacher.primary))}"
    return f"No student was trained both distilled and from labels only, so the gain is not known; {reached}."


def _direction(one: ArmResult) -> int:
    return one.gain.direction if one.gain is not None else 0


def _amount(one: ArmResult, kind: FigureKind, sign: bool = True) -> str:
    return f"{shown_gain(kind, one.gain, sign)} {gain_words(kind)}"


def _amounts(arms: Sequence[ArmResult], kind: FigureKind, sign: bool = True) -> str:
    """ "5.3 ± 0.4 points for cnn and 4.1 ± 0.3 for vit"; from the least to the most when there are many."""
    if len(arms) > 3:
        ordered = sorted(arms, key=lambda one: one.gain.mean if one.gain else 0.0)
        lowest, highest = (shown_gain(kind, one.gain, sign) for one in (ordered[0], ordered[-1]))
        return f"{lowest} to {highest} {gain_words(kind)} for {len(arms)} students"
    words = [f"{shown_gain(kind, one.gain, sign)} for {one.student}" for one in arms]
    return listing([words[0].replace(" for ", f" {gain_words(kind)} for ", 1), *words[1:]])


def _named(arms: Sequence[ArmResult], kind: FigureKind) -> str:
    if len(arms) > 3:
        return f"{len(arms)} other students"
    return listing([f"{one.student} ({shown_gain(kind, one.gain)} in {_counted(one)})" for one in arms])


def _counted(one: ArmResult) -> str:
    seeds = len(one.gain.seeds) if one.gain is not None else 0
    return "one seed" if seeds == 1 else f"{seeds} seeds"
