"""Accuracy: by student and arm, against size, and how often a student says what the teacher says."""

from collections.abc import Callable, Mapping

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from ....stages.deploy.metrics.figure_kind import FigureKind
from ..collect import Report
from ..figure_words import headed, shown, shown_spread, with_unit
from ..quantities import count
from ..results import ArmResult
from ..spread import Spread
from .arms import ARM_NAMES, draw_point, in_order
from .panel import COLOURS, Panel, draw_panel

_ROW = 21.0  # height of one arm in a dot plot
_NAMES = 2  # written out above one point


def accuracy_panel(report: Report) -> Panel:
    """The primary figure of every student and arm, the teacher as a line."""
    kind, teacher = report.kind, report.teacher.primary
    title = _axis(report)
    return _dots(report, "accuracy", headed(title), report.judged.primary, kind, lambda one: one.metrics, teacher)


def set_panel(report: Report, name: str) -> Panel:
    """The same on another held-out set."""
    found = report.teacher.evaluation.sets.get(name)
    teacher = None if found is None else found.metrics.get(report.judged.primary)
    title = f"{headed(_axis(report))}, on {name}"
    return _dots(
        report, f"set-{name}", title, report.judged.primary, report.kind, lambda one: one.sets[name].metrics, teacher
    )


def agreement_panels(report: Report) -> list[Panel]:
    """Agreement with the teacher, and KL divergence to it."""
    panels, kinds = [], report.judged.kinds
    if any("agreement" in one.metrics for one in report.students):
        panels.append(_dots(report, "agreement", "Agreement with the teacher, %", "agreement", kinds["agreement"]))
    if any("kl" in one.metrics for one in report.students):
        panels.append(_dots(report, "kl", "KL divergence from the teacher, nats", "kl", kinds["kl"]))
    return panels


def size_panel(report: Report) -> Panel:
    """The primary figure against the number of parameters; without the teacher when its size is not known."""
    whole, kind, scale = report.teacher.evaluation.parameters.total, report.kind, _scale(report.kind)

    def paint(axes: Axes) -> None:
        if whole and report.teacher.primary is not None:
            draw_point(axes, "teacher", whole, report.teacher.primary * scale)
        for one in reversed(in_order(list(report.students))):
            error = None if one.primary.std is None else one.primary.std * scale
            draw_point(axes, one.arm, _parameters(one), one.primary.mean * scale, y_error=error)
        _label_points(axes, report)
        axes.set(xscale="log", xlabel="parameters", ylabel=_axis(report))
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: _tick(x)))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.tick_params(which="minor", length=0)
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.margins(0.16, 0.14)

    words = [f"teacher: {count(whole)} parameters, {with_unit(kind, shown(kind, report.teacher.primary))}"]
    words += [f"{one.student}, {ARM_NAMES[one.arm]}: {_sized(one, kind)}" for one in report.students]
    title = f"{headed(kind.title)} against parameters"
    return draw_panel("size", title, f"{title}. {'; '.join(words)}.", paint)


def _parameters(one: ArmResult) -> int:
    return max(one.parameters.total or 0, 1)  # a logarithmic axis has no zero


def _sized(one: ArmResult, kind: FigureKind) -> str:
    return f"{count(one.parameters.total)} parameters, {with_unit(kind, shown_spread(kind, one.primary))}"


def _axis(report: Report) -> str:
    """What an axis of the primary figure is called: "top-1, %"."""
    return f"{report.kind.title}, {report.kind.unit}" if report.kind.unit else report.kind.title


def _scale(kind: FigureKind) -> float:
    return 100 if kind.unit == "%" else 1


def _tick(parameters: float) -> str:
    """30000 -> "30 k"."""
    scale, unit = next((pair for pair in ((1e9, " G"), (1e6, " M"), (1e3, " k")) if parameters >= pair[0]), (1.0, ""))
    return f"{parameters / scale:g}{unit}"


def _label_points(axes: Axes, report: Report) -> None:
    """Names: the teacher beside its point, each student above its best one; equally large ones share a label."""
    x, y, scale = report.teacher.evaluation.parameters.total, report.teacher.primary, _scale(report.kind)
    if x and y is not None:
        axes.annotate("teacher", (x, y * scale), (0, 9), textcoords="offset points", ha="center", color=COLOURS["ink"])
    for parameters, arms in _by_size(report).items():
        top = max(one.primary.mean + (one.primary.std or 0) for one in arms)
        names = list(dict.fromkeys(one.student for one in arms))
        name = ", ".join(names) if len(names) <= _NAMES else f"{len(names)} students"
        place = (parameters, top * scale)
        axes.annotate(name, place, (0, 8), textcoords="offset points", ha="center", color=COLOURS["ink"])


def _by_size(report: Report) -> dict[int, list[ArmResult]]:
    """The best arm of each student, by parameters: of equal ones the names would lie on each other."""
    found: dict[int, list[ArmResult]] = {}
    for name in report.names:
        best = max(report.arms(name), key=lambda one: one.primary.mean)
        found.setdefault(_parameters(best), []).append(best)
    return found


def _dots(
    report: Report,
    name: str,
    title: str,
    metric: str,
    kind: FigureKind,
    metrics: Callable[[ArmResult], Mapping[str, Spread]] = lambda one: one.metrics,
    teacher: float | None = None,
) -> Panel:
    """A dot plot: a group of rows for each student, a row for each arm, the value written beside it."""
    rows, scale = _rows(report, metric, metrics), _scale(kind)
    height = 56 + _ROW * (max((place for place, _ in rows), default=0) + 1)

    def paint(axes: Axes) -> None:
        for place, one in rows:
            found = metrics(one)[metric]
            error = None if found.std is None else found.std * scale
            draw_point(axes, one.arm, found.mean * scale, place, x_error=error)
            beside = ("axes fraction", "data")
            value = shown_spread(kind, found)
            axes.annotate(value, (1.0, place), (4, 0), xycoords=beside, textcoords="offset points", va="center")
        if teacher is not None:
            axes.axvline(teacher * scale, color=COLOURS["teacher"], linestyle=(0, (4, 3)), linewidth=1.4, zorder=1)
            axes.annotate(
                f"teacher {shown(kind, teacher)}",
                (teacher * scale, 1.0),
                (0, 3),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                ha="right",
            )
        _student_rows(axes, rows)

    alt = "; ".join(
        f"{one.student}, {ARM_NAMES[one.arm]}: {shown_spread(kind, metrics(one)[metric])}" for _, one in rows
    )
    line = "" if teacher is None else f"; teacher: {shown(kind, teacher)}"
    return draw_panel(name, title, f"{title}. {alt}{line}.", paint, height=height)


def _rows(
    report: Report, metric: str, metrics: Callable[[ArmResult], Mapping[str, Spread]]
) -> list[tuple[float, ArmResult]]:
    """(place from the top, arm) with a gap between students."""
    rows: list[tuple[float, ArmResult]] = []
    place = 0.0
    for name in report.names:
        own = [one for one in report.arms(name) if metric in metrics(one)]
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
