"""Training curves: the loss of one arm over its seeds, from the trials' histories."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any


@dataclass(frozen=True, slots=True)
class History:
    """Loss by logged step (None where it was not finite), and the seconds that this trial's own steps took."""

    loss: Mapping[int, float | None]
    seconds: float


@dataclass(frozen=True, slots=True)
class Curve:
    """The loss over seeds at the steps that all of them logged: mean, smallest and largest."""

    steps: tuple[int, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


def history_of(records: Sequence[Mapping[str, Any]]) -> History | None:
    """The history of a trial from its logged records, None when nothing was logged."""
    if not records:
        return None
    return History({record["step"]: record["loss"] for record in records}, float(records[-1]["seconds"]))


def curve(histories: Sequence[History]) -> Curve | None:
    """The band of several seeds; None when they share no step with a finite loss."""
    shared = sorted(set.intersection(*(set(history.loss) for history in histories))) if histories else []
    rows = {step: [loss for history in histories if (loss := history.loss[step]) is not None] for step in shared}
    whole = {step: values for step, values in rows.items() if len(values) == len(histories)}
    if not whole:
        return None
    return Curve(
        tuple(whole),
        tuple(fmean(values) for values in whole.values()),
        tuple(min(values) for values in whole.values()),
        tuple(max(values) for values in whole.values()),
    )
