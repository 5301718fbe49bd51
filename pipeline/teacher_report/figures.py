"""The drawings of the report on a teacher."""

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ...stages.quality.quality import TeacherQuality
from ...stages.quality.reliability import reliability_bins
from ...stages.quality.spectrum import Spectrum
from ..report.figures.panel import COLOURS, Panel, draw_panel
from ..report.quantities import percent

_BINS = 30
_MOST = 25  # classes in one drawing; of more, the worst
_LONGEST = 18


def quality_panels(quality: TeacherQuality) -> list[Panel]:
    """All drawings that this teacher's data allow, in the order of the page."""
    makers: list[Callable[[TeacherQuality], list[Panel]]] = [_reliability, _classes, _histograms, _views, _spectra]
    return [panel for make in makers for panel in make(quality)]


def _reliability(quality: TeacherQuality) -> list[Panel]:
    answers, known = quality.answers, quality.answers.labelled
    if not len(known) or quality.calibration is None:
        return []
    bins = reliability_bins(answers.probability[known, 0, 0], answers.top[known, 0, 0] == answers.labels[known])
    means = bins.confidence * 100, bins.accuracy * 100

    def paint(axes: Axes) -> None:
        axes.plot([0, 100], [0, 100], color=COLOURS["muted"], linewidth=1, linestyle=(0, (2, 2)))
        axes.plot(*means, color=COLOURS["teacher"], linewidth=1.2)
        axes.scatter(means[0], means[1], 10 + 120 * bins.share, COLOURS["teacher"], zorder=3)
        axes.set(xlim=(0, 103), ylim=(0, 103), xlabel="confidence, %", ylabel="accuracy, %")

    calibration = quality.calibration
    alt = (
        f"Accuracy against confidence. Calibration error {percent(calibration.ece)} %, "
        f"{percent(calibration.ece_calibrated)} % at temperature {calibration.temperature:.2f}."
    )
    return [draw_panel("reliability", "Is it as right as it is sure?", alt, paint)]


def _classes(quality: TeacherQuality) -> list[Panel]:
    known = [(one.name, one.accuracy) for one in quality.per_class if one.accuracy is not None]
    shown = sorted(known, key=lambda one: one[1])[:_MOST] if len(known) > _MOST else known
    if not shown:
        return []

    def paint(axes: Axes) -> None:
        axes.barh(range(len(shown)), [value * 100 for _, value in shown], 0.7, color=COLOURS["teacher"])
        axes.set_yticks(range(len(shown)), [_short(name) for name, _ in shown])
        axes.set(xlim=(0, 100), xlabel="accuracy, %")
        axes.set_ylim(len(shown) - 0.4, -0.6)
        axes.grid(axis="y", visible=False)

    title = "Accuracy by class" if len(shown) == len(known) else f"The {_MOST} worst classes"
    alt = f"{title}, in percent: {'; '.join(f'{name} {percent(value)}' for name, value in shown)}."
    return [draw_panel("classes", title, alt, paint, height=56 + 20.0 * len(shown))]


def _histograms(quality: TeacherQuality) -> list[Panel]:
    answers = quality.answers
    margin = answers.probability[:, 0, 0] - answers.probability[:, 0, 1]
    most = float(np.log(answers.classes))
    return [
        _histogram("entropy", "Entropy of its answers", "nats", answers.entropy[:, 0], most),
        _histogram("margin", "First minus second probability", "margin", margin, 1.0),
    ]


def _histogram(name: str, title: str, axis: str, values: np.ndarray, most: float) -> Panel:
    shares, edges = np.histogram(np.clip(values, 0, most), _BINS, (0, most))

    def paint(axes: Axes) -> None:
        axes.bar(edges[:-1], shares / len(values) * 100, np.diff(edges), align="edge", color=COLOURS["teacher"])
        axes.set(xlabel=axis, ylabel="samples, %")
        axes.yaxis.set_major_locator(MaxNLocator(5))

    alt = f"{title}: mean {values.mean():.2f}, median {np.median(values):.2f}."
    return draw_panel(name, title, alt, paint)


def _views(quality: TeacherQuality) -> list[Panel]:
    shares = {view: share for view, share in enumerate(quality.view_agreement) if view and share is not None}
    shown = dict(sorted(shares.items(), key=lambda one: one[1])[:_MOST])
    if not shown:
        return []

    def paint(axes: Axes) -> None:
        axes.barh(range(len(shown)), [share * 100 for share in shown.values()], 0.7, color=COLOURS["teacher"])
        axes.set_yticks(range(len(shown)), [f"view {view}" for view in shown])
        axes.set(xlim=(0, 100), xlabel="names the same class, %")
        axes.set_ylim(len(shown) - 0.4, -0.6)
        axes.grid(axis="y", visible=False)

    title = "Agreement with the plain image" + ("" if len(shown) == len(shares) else f": the {_MOST} worst views")
    alt = f"How often a view is given the class of the plain image, in percent: {_listed(list(shown.values()))}."
    return [draw_panel("views", title, alt, paint, height=56 + 20.0 * len(shown))]


def _spectra(quality: TeacherQuality) -> list[Panel]:
    return [_spectrum(number, spectrum) for number, spectrum in enumerate(quality.spectra)]


def _spectrum(number: int, spectrum: Spectrum) -> Panel:
    whole = np.cumsum(spectrum.variance) * 100

    def paint(axes: Axes) -> None:
        axes.plot(range(1, len(whole) + 1), whole, color=COLOURS["teacher"])
        for share in (90, 95, 99):
            axes.axhline(share, color=COLOURS["muted"], linewidth=0.8, linestyle=(0, (2, 2)))
        axes.set(xlabel="directions", ylabel="variance, %", ylim=(0, 102))

    title = f"Spectrum of {spectrum.signal}"
    alt = f"{title}: {spectrum.dimensions(0.9)} directions hold 90 %, {spectrum.dimensions(0.99)} hold 99 %."
    return draw_panel(f"spectrum-{number}", title, alt, paint)


def _listed(shares: Sequence[float]) -> str:
    return ", ".join(percent(share) for share in shares)


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"
