"""Accuracy: by student and arm, against size, and how often a student says what the teacher says."""

from collections.abc import Callable

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from ..collect import Report
from ..quantities import count, percent, percent_spread, plain_spread
from ..results import ArmResult
from ..spread import Spread
from .arms import ARM_NAMES, draw_point, in_order
from .panel import COLOURS, Panel, draw_panel

_ROW = 21.0  # height of one arm in a dot plot


def accuracy_panel(report: Report) -> Panel:
    """Top-1 of every student and arm, the teacher as a line."""
    top1 = report.teacher.top1
    return _dots(report, "accuracy", "Top-1, %", "top1", 100, percent_spread, top1)


def agreement_panels(report: Report) -> list[Panel]:
    """Agreement with the teacher, and KL divergence to it."""
    panels = []
    if any("agreement" in one.metrics for one in report.students):
        panels.append(_dots(report, "agreement", "Agreement with the teacher, %", "agreement", 100, percent_spread))
    if any("kl" in one.metrics for one in report.students):
        panels.append(_dots(report, "kl", "KL divergence from the teacher, nats", "kl", 1, plain_spread))
    return panels


def size_panel(report: Report) -> Panel:
    """Top-1 against the number of parameters; without the teacher when its size is not known."""
    whole = report.teacher.evaluation.parameters.total

    def paint(axes: Axes) -> None:
        if whole:
            draw_point(axes, "teacher", whole, report.teacher.top1 * 100)
        for one in reversed(in_order(list(report.students))):
            error = None if one.top1.std is None else one.top1.std * 100
            draw_point(axes, one.arm, _parameters(one), one.top1.mean * 100, y_error=error)
        _label_points(axes, report)
        axes.set(xscale="log", xlabel="parameters", ylabel="top-1, %")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: _tick(x)))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.tick_params(which="minor", length=0)
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.margins(0.16, 0.14)

    words = [f"teacher: {count(whole)} parameters, {percent(report.teacher.top1)} %"]
    words += [f"{one.student}, {ARM_NAMES[one.arm]}: {_sized(one)}" for one in report.students]
    title = "Top-1 against parameters"
    return draw_panel("size", title, f"{title}. {'; '.join(words)}.", paint)


def _parameters(one: ArmResult) -> int:
    return max(one.parameters.total or 0, 1)  # a logarithmic axis has no zero


def _sized(one: ArmResult) -> str:
    return f"{count(one.parameters.total)} parameters, {percent_spread(one.top1)} %"


def _tick(parameters: float) -> str:
    """30000 -> "30 k"."""
    scale, unit = next((pair for pair in ((1e9, " G"), (1e6, " M"), (1e3, " k")) if parameters >= pair[0]), (1.0, ""))
    return f"{parameters / scale:g}{unit}"


def _label_points(axes: Axes, report: Report) -> None:
    """Names: the teacher beside its point, each student above its best one."""
    x, y = report.teacher.evaluation.parameters.total, report.teacher.top1 * 100
    if x:
        axes.annotate("teacher", (x, y), (0, 9), textcoords="offset points", ha="center", color=COLOURS["ink"])
    for name in report.names:
        best = max(report.arms(name), key=lambda one: one.top1.mean)
        top = (best.top1.mean + (best.top1.std or 0)) * 100
        place = (_parameters(best), top)
        axes.annotate(name, place, (0, 8), textcoords="offset points", ha="center", color=COLOURS["ink"])


def _dots(
    report: Report,
    name: str,
    title: str,
    metric: str,
    scale: float,
    words: Callable[[Spread], str],
    teacher: float | None = None,
) -> Panel:
    """A dot plot: a group of rows for each student, a row for each arm, the value written beside it."""
    rows = _rows(report, metric)
    height = 56 + _ROW * (max((place for place, _ in rows), default=0) + 1)

    def paint(axes: Axes) -> None:
        for place, one in rows:
            found = one.metrics[metric]
            error = None if found.std is None else found.std * scale
            draw_point(axes, one.arm, found.mean * scale, place, x_error=error)
            beside = ("axes fraction", "data")
            axes.annotate(words(found), (1.0, place), (4, 0), xycoords=beside, textcoords="offset points", va="center")
        if teacher is not None:
            axes.axvline(teacher * scale, color=COLOURS["teacher"], linestyle=(0, (4, 3)), linewidth=1.4, zorder=1)
            axes.annotate(
                f"teacher {percent(teacher)}",
                (teacher * scale, 1.0),
                (0, 3),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                ha="right",
            )
        _student_rows(axes, rows)

    alt = "; ".join(f"{one.student}, {ARM_NAMES[one.arm]}: {words(one.metrics[metric])}" for _, one in rows)
    line = "" if teacher is None else f"; teacher: {percent(teacher)}"
    return draw_panel(name, title, f"{title}. {alt}{line}.", paint, height=height)


def _rows(report: Report, metric: str) -> list[tuple[float, ArmResult]]:
    """(place from the top, arm) with a gap between students."""
    rows: list[tuple[float, ArmResult]] = []
    place = 0.0
    for name in report.names:
        own = [one for one in report.arms(name) if metric in one.metrics]
        for one in in_order(own):
            rows.append((place, one))
            place += 1
        place += 0.7
    return rows


def _student_rows(axes: Axes, rows: list[tuple[float, ArmResult]]) -> None:
    """The students' names at the left, one at the middle of its rows."""
    places: dict[str, list[float]] = {}
    for place, one in rows:
        places.setdefault(one.student, []).append(place)
    axes.set_yticks([sum(own) / len(own) for own in places.values()], list(places))
    axes.tick_params(axis="y", labelcolor=COLOURS["ink"])
    axes.set_ylim(max(place for place, _ in rows) + 0.7, -0.7)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.margins(x=0.08)
    axes.grid(axis="y", visible=False)
    axes.spines["left"].set_visible(False)
