"""What a search leaves: every shape and the front as JSON, a page, and a configuration for each shape of the front."""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.axes import Axes

from ...stages.deploy.architecture.front import ShapePoint, pareto_front
from ...stages.deploy.metrics.figure_kind import FigureKind
from ...stages.student.files.durable_files import write_whole
from ..config import Config
from ..report.figures.panel import COLOURS, Panel, draw_panel
from .search import search_folder, shape_students
from .settings import search_spec

_TEMPLATES = Path(__file__).parent / "templates"
_STYLE = Path(__file__).parents[1] / "report" / "templates" / "page.css"
JSON_FILE, PAGE_FILE, FRONT = "architecture.json", "architecture.html", "front"


def write_result(config: Config, points: Sequence[ShapePoint]) -> list[ShapePoint]:
    """Write architecture.json, architecture.html and front/<name>.yaml, each whole or not at all. The front."""
    spec, folder, kind = search_spec(config), search_folder(config), _kind(config)
    front = pareto_front(points, spec.cost, "higher" if kind.better == "higher" else "lower")
    content = {
        "format": 1,
        "figure": {"name": config.evaluate.primary_figure, **asdict(kind)},
        "cost": spec.cost,
        "judged_on": spec.judged_on or next(iter(config.evaluate.named_sets)),
        "front": [one.name for one in front],
        "shapes": [asdict(one) for one in points],
    }
    (folder / FRONT).mkdir(parents=True, exist_ok=True)
    kept = {f"{one.name}.yaml" for one in front}
    for old in (folder / FRONT).glob("*.yaml"):
        if old.name not in kept:
            old.unlink()
    for one in front:
        write_whole(folder / FRONT / f"{one.name}.yaml", _configuration(config, one).encode())
    write_whole(folder / JSON_FILE, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False).encode() + b"\n")
    write_whole(folder / PAGE_FILE, _page(config, points, front).encode())
    return front


def _kind(config: Config) -> FigureKind:
    return config.evaluate.figures[config.evaluate.primary_figure]


def _configuration(config: Config, point: ShapePoint) -> str:
    """The configuration of this run with one student, that reads the caches which there are."""
    student = shape_students(config, [point])[point.name].model_dump(mode="json", exclude_unset=True)
    content: dict[str, Any] = config.model_dump(mode="json", exclude_unset=True, exclude={"architecture", "students"})
    content["output"] = str(search_folder(config) / "runs" / point.name)
    content["cache"]["path"] = str(config.cache_path)
    content["train"].pop("halving", None)
    content["evaluate"].pop("ladder", None)
    student.pop("swept", None)
    return yaml.safe_dump({**content, "students": [student]}, sort_keys=False, allow_unicode=True)


def _page(config: Config, points: Sequence[ShapePoint], front: Sequence[ShapePoint]) -> str:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(trusted=Markup)
    spec = search_spec(config)
    html = environment.get_template("architecture.html.j2").render(
        title=config.name,
        spec=spec,
        figure=config.evaluate.primary_figure,
        points=points,
        front=front,
        names={one.name for one in front},
        panel=_panel(config, points, front),
        css=_STYLE.read_text(encoding="utf-8"),
    )
    return re.sub(r"\n\s*\n+", "\n", html)


def _panel(config: Config, points: Sequence[ShapePoint], front: Sequence[ShapePoint]) -> Panel:
    cost, figure = search_spec(config).cost, config.evaluate.primary_figure
    finished = [one for one in points if one.figure is not None]

    def paint(axes: Axes) -> None:
        axes.plot([one.costs[cost] for one in finished], _figures(finished), "o", color=COLOURS["muted"], alpha=0.6)
        places, best = [one.costs[cost] for one in front], _figures(front)
        axes.plot(places, best, "o-", color=COLOURS["distilled"], drawstyle="steps-post")
        for one in front:
            axes.annotate(one.name, (one.costs[cost], one.figure or 0.0), xytext=(4, -10), textcoords="offset points")
        axes.set_xlabel(cost.replace("_", " "))
        axes.set_ylabel(figure)
        if finished:
            axes.set_xscale("log")

    alt = f"{figure} against {cost} of {len(finished)} shapes; the front is " + ", ".join(
        f"{one.name} ({one.costs[cost]:,.6g}, {one.figure:.4g})" for one in front
    )
    return draw_panel("front", f"{figure} against {cost}", alt, paint, width=560.0, height=320.0)


def _figures(points: Sequence[ShapePoint]) -> list[float]:
    return [one.figure for one in points if one.figure is not None]
