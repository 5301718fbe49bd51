"""Accuracy by class: teacher, labels only and distilled, one panel per student."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ..collect import Report
from ..evaluation import ClassAccuracy
from ..quantities import percent
from ..results import ArmResult
from .panel import COLOURS, Panel, draw_panel

MOST = 20  # classes in one panel; of more, those that distillation changes most
_BAR = 0.26
_LONGEST = 18  # characters of a class name


def per_class_panels(report: Report) -> list[Panel]:
    """Panels of the students that have figures by class."""
    if not report.teacher.evaluation.per_class:
        return []
    own = [(name, _arms(report, name)) for name in report.names]
    return [_panel(report, name, arms) for name, arms in own if arms and arms[0].per_class]


def shown_classes(report: Report, arms: Sequence[ArmResult]) -> list[int]:
    """Numbers of the classes that are drawn, in their own order."""
    tables = [_accuracies(one.per_class) for one in arms]
    known = [i for i, one in enumerate(report.teacher.evaluation.per_class) if one.top1 is not None]
    known = [i for i in known if all(i < len(table) for table in tables)]
    if len(known) <= MOST:
        return known
    changes = {i: abs(tables[0][i] - tables[-1][i]) for i in known}
    return sorted(sorted(known, key=lambda i: -changes[i])[:MOST])


def _arms(report: Report, student: str) -> list[ArmResult]:
    found = (report.arm(student, arm) for arm in ("distilled", "labels-only"))
    return [one for one in found if one is not None]


def _accuracies(classes: Sequence[ClassAccuracy]) -> list[float]:
    return [one.top1 if one.top1 is not None else 0.0 for one in classes]


def _panel(report: Report, student: str, arms: list[ArmResult]) -> Panel:
    shown = shown_classes(report, arms)
    teacher = report.teacher.evaluation.per_class
    series = [("teacher", _accuracies(teacher)), *((one.arm, _accuracies(one.per_class)) for one in arms)]

    def paint(axes: Axes) -> None:
        for number, (arm, values) in enumerate(series):
            places = [i + (number - (len(series) - 1) / 2) * _BAR for i in range(len(shown))]
            axes.barh(places, [values[i] * 100 for i in shown], _BAR * 0.86, color=COLOURS[arm])
        axes.set_yticks(range(len(shown)), [_short(teacher[i].name) for i in shown])
        axes.tick_params(axis="y", labelcolor=COLOURS["ink"])
        axes.set(xlim=(0, 100), xlabel="top-1, %")
        axes.set_ylim(len(shown) - 0.4, -0.6)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.grid(axis="y", visible=False)

    words = [f"{teacher[i].name} {', '.join(f'{arm} {percent(values[i])}' for arm, values in series)}" for i in shown]
    alt = f"Top-1 by class of {student}, in percent: {'; '.join(words)}."
    return draw_panel(f"classes-{student}", student, alt, paint, height=56 + 27.0 * max(1, len(shown)))


def _short(name: str) -> str:
    one_line = " ".join(name.split())
    return one_line if len(one_line) <= _LONGEST else f"{one_line[: _LONGEST - 1]}…"
