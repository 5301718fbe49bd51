"""The ladder as drawings: one panel a held-out set, a row a rung from the lowest to the highest."""

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ..collect import Report
from ..figure_words import headed, shown, shown_spread
from ..ladder import Rung
from .arms import draw_point, rung_name
from .panel import COLOURS, Panel, draw_panel

_ROW = 24.0  # height of a rung


def ladder_panels(report: Report) -> list[Panel]:
    """A panel for each held-out set; none without a ladder."""
    if report.ladder is None:
        return []
    rungs = [*report.ladder.rungs, *([report.ladder.control] if report.ladder.control else [])]
    return [_panel(report, name, rungs) for name in (report.judged.main, *report.judged.others)]


def _panel(report: Report, name: str, rungs: list[Rung]) -> Panel:
    kind, scale = report.kind, 100 if report.kind.unit == "%" else 1
    teacher = _teacher(report, name)

    def paint(axes: Axes) -> None:
        for place, one in enumerate(rungs):
            found = one.values[name].value
            error = None if found.std is None else found.std * scale
            draw_point(axes, one.arm, found.mean * scale, place, x_error=error)
            beside = ("axes fraction", "data")
            words = shown_spread(kind, found)
            axes.annotate(words, (1.0, place), (4, 0), xycoords=beside, textcoords="offset points", va="center")
        if teacher is not None:
            axes.axvline(teacher * scale, color=COLOURS["teacher"], linestyle=(0, (4, 3)), linewidth=1.4, zorder=1)
        axes.set_yticks(range(len(rungs)), [rung_name(one) for one in rungs])
        axes.tick_params(axis="y", labelcolor=COLOURS["ink"])
        axes.set_ylim(len(rungs) - 0.3, -0.7)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.margins(x=0.08)
        axes.grid(axis="y", visible=False)
        axes.spines["left"].set_visible(False)

    unit = f", {kind.unit}" if kind.unit else ""
    title = f"{headed(kind.title)}{unit}, on {name}"
    words = "; ".join(f"{rung_name(one)}: {shown_spread(kind, one.values[name].value)}" for one in rungs)
    line = "" if teacher is None else f"; teacher: {shown(kind, teacher)}"
    return draw_panel(f"ladder-{name}", title, f"{title}. {words}{line}.", paint, height=56 + _ROW * len(rungs))


def _teacher(report: Report, name: str) -> float | None:
    if name == report.judged.main:
        return report.teacher.primary
    found = report.teacher.evaluation.sets.get(name)
    return None if found is None else found.metrics.get(report.judged.primary)
