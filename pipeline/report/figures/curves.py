"""Training curves: the loss of each arm over steps, with the band of its seeds."""

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from ..collect import Report
from ..history import Curve
from .arms import ARM_NAMES, in_order
from .panel import COLOURS, Panel, draw_panel


def curve_panels(report: Report) -> list[Panel]:
    """One panel per student with a history."""
    return [_panel(report, name) for name in report.names if _curves(report, name)]


def _curves(report: Report, student: str) -> list[tuple[str, Curve]]:
    own = in_order(report.arms(student))
    return [(one.arm, one.curve) for one in own if one.curve is not None]


def _panel(report: Report, student: str) -> Panel:
    curves = _curves(report, student)
    low, high = min(min(found.low) for _, found in curves), max(max(found.high) for _, found in curves)

    def paint(axes: Axes) -> None:
        for arm, found in reversed(curves):
            axes.fill_between(found.steps, found.low, found.high, color=COLOURS[arm], alpha=0.2, linewidth=0)
            axes.plot(found.steps, found.mean, color=COLOURS[arm])
        axes.set(xlabel="step", ylabel="loss")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.set_xlim(left=0)
        if 0 < 10 * low < high:
            _log_scale(axes, high > 100 * low)
        elif low > 0:
            axes.set_ylim(bottom=0)

    words = [f"{ARM_NAMES[arm]} from {found.mean[0]:.3g} to {found.mean[-1]:.3g}" for arm, found in curves]
    return draw_panel(f"curve-{student}", student, f"Training loss of {student}: {'; '.join(words)}.", paint)


def _log_scale(axes: Axes, wide: bool) -> None:
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0,) if wide else (1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(which="minor", length=0)
