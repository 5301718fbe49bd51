"""Accuracy against latency and against bytes, of the models that `teachercache bench-model` measured."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from ..quantities import milliseconds, percent, size
from .panel import COLOURS, Panel, draw_panel

Bench = Mapping[str, Any]
_MARKERS = {
    "teacher": "D",
    "checkpoint": "s",
    "onnx": "o",
    "web": "p",
    "openvino": "X",
    "litert": "^",
    "executorch": "v",
    "coreml": "P",
}


def bench_panels(bench: Bench, prefix: str = "bench") -> tuple[Panel, ...]:
    """Both panels; () where nothing was judged."""
    batch = first_batch(bench)
    return tuple(
        _panel(f"{prefix}-{name}", title, bench, of, written)
        for name, title, of, written in (
            ("latency", f"ms a pass of {batch}, p50", lambda one: _latency(one, batch), milliseconds),
            ("bytes", "bytes on disk", lambda one: one.get("bytes"), size),
        )
        if any(_points(bench, of))
    )


def first_batch(bench: Bench) -> str:
    """The batch size whose latency is drawn."""
    return str(next(iter(bench["models"][0]["latency"])))


def _latency(one: Mapping[str, Any], batch: str) -> float | None:
    return ((one.get("latency") or {}).get(batch) or {}).get("p50_ms")


def _points(bench: Bench, of: Callable[[Mapping[str, Any]], float | None]) -> Iterator[tuple[str, str, float, float]]:
    """(name, form, x, accuracy in percent) of all that have both, the teacher first."""
    teacher = bench["teacher"]
    known = ([{**teacher, "model": "teacher", "form": "teacher"}] if teacher else []) + list(bench["models"])
    for one in known:
        x, accuracy = of(one), one.get("accuracy")
        if x is not None and accuracy is not None:
            yield one["model"], one["form"], x, accuracy * 100


def _panel(
    name: str,
    axis: str,
    bench: Bench,
    of: Callable[[Mapping[str, Any]], float | None],
    written: Callable[[float | None], str],
) -> Panel:
    points = list(_points(bench, of))

    def paint(axes: Axes) -> None:
        for model, form, x, accuracy in points:
            colour = COLOURS["teacher" if form == "teacher" else "distilled"]
            shape, fill = marker(form)
            axes.plot([x], [accuracy], linestyle="none", marker=shape, fillstyle=fill, color=colour)
            label = "teacher" if form == "teacher" else short_name(model)
            axes.annotate(label, (x, accuracy), xytext=(0, 7), textcoords="offset points", ha="center", fontsize=8)
        axes.set(xscale="log", xlabel=axis, ylabel="accuracy, %")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: written(x)))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.margins(0.25, 0.2)

    words = "; ".join(f"{model}: {written(x)}, {percent(accuracy / 100)} %" for model, _, x, accuracy in points)
    return draw_panel(name, f"Accuracy against {axis}", f"Accuracy against {axis}. {words}.", paint)


def marker(form: str) -> tuple[str, Literal["full", "none"]]:
    """Shape and filling of a form such as `onnx int8`: a shape for each target, hollow where weights are no floats."""
    target, _, precision = form.partition(" ")
    return _MARKERS[target], "none" if precision == "int8" else "full"


def short_name(model: str) -> str:
    """The last parts of a folder, which tell a model from its variants."""
    parts = model.rstrip("/").split("/")
    return parts[-1] if not parts[-1].startswith("seed-") else "/".join(parts[-3:])
