"""`teachercache bench-model`: measures models, prints the table, and writes bench.json and bench.svg."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from rich.table import Column, Table

from ...stages.deploy.bench.bench import DOCUMENT, bench_models
from ...stages.deploy.bench.labelled import read_labelled
from ...stages.deploy.bench.spec import BenchSpec
from ...stages.student.files.durable_files import write_json, write_whole
from ..console import console
from ..errors import ConfigError
from ..report.figures.bench import first_batch
from ..report.quantities import count, milliseconds, percent, size

_PLOT = "bench.svg"


def run_bench(
    models: Sequence[Path],
    spec: BenchSpec,
    data: str | None,
    caption: str | None,
    teacher: Path | None,
    into: Path | None,
) -> dict[str, Any]:
    """Measure, and write into a folder where one is named. Raises as `bench_models` does."""
    labelled = None if data is None else read_labelled(data, caption)
    known = None if teacher is None else _teacher(teacher)
    found = {**bench_models(models, spec, labelled, lambda text: console.print(text, style="dim")), "teacher": known}
    if into is not None:
        _write(into, found)
    return found


def bench_table(bench: Mapping[str, Any]) -> Table:
    """One row a model, by the part of its path in which the models differ."""
    batches = list(bench["models"][0]["latency"])
    folder, names = _told_apart([one["model"] for one in bench["models"]])
    timings = (f"batch {one} ms p50/p95" for one in batches)
    table = Table(Column("model", overflow="fold"), "form", "disk", "MACs", "cold ms", *timings)
    simulated = any("simulation" in one for one in bench["models"])
    for title in ("MB", "accuracy", "agreement", "flips", *(["simulation"] if simulated else [])):
        table.add_column(title, justify="right")
    for name, one in zip(names, bench["models"], strict=True):
        timed = [f"{milliseconds(x['p50_ms'])} / {milliseconds(x['p95_ms'])}" for x in one["latency"].values()]
        memory = "–" if one["peak_memory_mb"] is None else f"{one['peak_memory_mb']:.0f}"
        shares = (percent(one["accuracy"]), percent(one["agreement"]), percent(one["flips"], 2))
        cost = (size(one["bytes"]), count(one["macs"]), milliseconds(one["cold_ms"]))
        learnt = [percent(one.get("simulation"))] if simulated else []
        table.add_row(name, one["form"], *cost, *timed, memory, *shares, *learnt)
    table.caption = f"models in {folder}" if folder else None
    return table


def _told_apart(models: Sequence[str]) -> tuple[str, list[str]]:
    """The folder in which several models all lie ("" for none), and their paths from there on."""
    paths = [PurePath(model) for model in models]
    shared = os.path.commonprefix([path.parent.parts for path in paths]) if len(paths) > 1 else ()
    return str(PurePath(*shared)) if shared else "", [str(PurePath(*path.parts[len(shared) :])) for path in paths]


def _teacher(folder: Path) -> dict[str, Any]:
    """What `evaluate` found of the teacher: its accuracy on the held-out samples, and where measured its cost."""
    path = folder / "evaluation.json"
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read ({error}); name the folder `teacher` of an evaluated run") from error
    return {"accuracy": found.get("top1"), "latency": found.get("latency"), "bytes": found.get("bytes")}


def _write(into: Path, bench: Mapping[str, Any]) -> None:
    into.mkdir(parents=True, exist_ok=True)
    write_json(into / DOCUMENT, bench)
    if any(one["accuracy"] is not None for one in bench["models"]):
        write_whole(into / _PLOT, _plot(bench))


def _plot(bench: Mapping[str, Any]) -> bytes:
    """Accuracy against latency and against bytes, side by side, as a drawing that stands alone."""
    import io

    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    batch, out = first_batch(bench), io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "teachercache", "text.parse_math": False}):
        figure = Figure(figsize=(9, 3.6), layout="constrained")
        FigureCanvasSVG(figure)
        for axes, axis in zip(figure.subplots(1, 2), (f"ms a pass of {batch}, p50", "bytes on disk"), strict=True):
            axes.set(xscale="log", xlabel=axis, ylabel="accuracy, %")
            for one in ([{**bench["teacher"], "model": "teacher"}] if bench["teacher"] else []) + bench["models"]:
                x = (
                    one["bytes"]
                    if axis.startswith("bytes")
                    else ((one["latency"] or {}).get(batch) or {}).get("p50_ms")
                )
                if x and one["accuracy"] is not None:
                    axes.plot([x], [one["accuracy"] * 100], "o", label=one["model"])
            axes.margins(0.2)
        figure.axes[0].legend(fontsize=7)
        figure.savefig(out, format="svg", metadata={"Date": None})
    return out.getvalue().encode()
