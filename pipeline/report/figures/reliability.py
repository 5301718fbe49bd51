"""Reliability: how often a model is right when it says it is so sure, one panel per student."""

from matplotlib.axes import Axes

from ..collect import Report
from ..quantities import percent
from .arms import ARM_NAMES, in_order
from .panel import COLOURS, MARKERS, Panel, draw_panel

_SMALLEST, _LARGEST = 10.0, 120.0  # areas of the marks of bins with no and with all samples


def reliability_panels(report: Report) -> list[Panel]:
    """Panels of the students that have reliability bins."""
    students = {one.student for one in report.students if one.reliability}
    return [_panel(report, name) for name in report.names if name in students]


def _panel(report: Report, student: str) -> Panel:
    own = in_order(report.arms(student))
    series = [("teacher", report.teacher.evaluation.reliability), *((one.arm, one.reliability) for one in own)]

    def paint(axes: Axes) -> None:
        axes.plot([0, 100], [0, 100], color=COLOURS["muted"], linewidth=1, linestyle=(0, (2, 2)))
        for arm, bins in reversed(series):
            confidence, accuracy = [one.confidence * 100 for one in bins], [one.accuracy * 100 for one in bins]
            fill = COLOURS[arm] if arm in ("distilled", "teacher") else COLOURS["surface"]
            areas = [_SMALLEST + _LARGEST * one.share for one in bins]
            axes.plot(confidence, accuracy, color=COLOURS[arm], linewidth=1.2)
            axes.scatter(confidence, accuracy, areas, fill, marker=MARKERS[arm], edgecolors=COLOURS[arm], zorder=3)
        axes.set(xlim=(0, 103), ylim=(0, 103), xlabel="confidence, %", ylabel="accuracy, %")
        axes.set_xticks(range(0, 101, 25))
        axes.set_yticks(range(0, 101, 25))

    errors = {"teacher": report.teacher.evaluation.metrics.get("ece")}
    errors |= {one.arm: one.metrics["ece"].mean for one in own if "ece" in one.metrics}
    words = [f"{ARM_NAMES[arm]} {percent(error)} %" for arm, error in errors.items() if error is not None]
    alt = f"Accuracy against confidence of {student}. Expected calibration error: {', '.join(words)}."
    return draw_panel(f"reliability-{student}", student, alt, paint, height=270)
