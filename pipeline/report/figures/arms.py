"""How arms look and are called, the same in every figure and table."""

from matplotlib.axes import Axes

from ..collect import Report
from ..figure_words import shown
from ..ladder import Rung
from ..results import ArmResult
from .panel import COLOURS, MARKERS

ARM_NAMES = {
    "teacher": "teacher",
    "distilled": "distilled",
    "labels-only": "labels only",
    "shuffled-cache": "shuffled cache",
    "random-selection": "random selection",
}


def rung_name(one: Rung) -> str:
    """A rung in words: labels only, a student, or a student's control."""
    if one.arm == "labels-only":
        return ARM_NAMES[one.arm]
    return one.student if one.arm == "distilled" else f"{one.student}, {ARM_NAMES[one.arm]}"


def set_value(report: Report, name: str) -> str:
    """The teacher's primary figure on another held-out set."""
    found = report.teacher.evaluation.sets.get(name)
    return shown(report.kind, found.metrics.get(report.judged.primary) if found is not None else None)


def draw_point(
    axes: Axes, arm: str, x: float, y: float, x_error: float | None = None, y_error: float | None = None
) -> None:
    """A marker of an arm with error bars, hollow for the controls."""
    colour = COLOURS[arm]
    axes.errorbar(
        [x],
        [y],
        xerr=None if x_error is None else [x_error],
        yerr=None if y_error is None else [y_error],
        fmt=MARKERS[arm],
        color=colour,
        markerfacecolor=colour if arm in ("distilled", "teacher") else COLOURS["surface"],
        markeredgecolor=colour,
        markeredgewidth=1.6,
        elinewidth=1.6,
        capsize=0,
        zorder=3,
    )


def in_order(arms: list[ArmResult]) -> list[ArmResult]:
    """Distilled first, then the controls."""
    order = list(ARM_NAMES)
    return sorted(arms, key=lambda one: order.index(one.arm))
