"""The report as one self-contained HTML page: no script, no request, colours and type in the page itself."""

import re
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ...stages.deploy.metrics.figure_kind import FigureKind
from . import quantities
from .breakdowns import breakdown_tables
from .collect import Report
from .figure_words import gain_words, headed, shown, shown_gain, shown_spread, with_unit
from .figures.arms import ARM_NAMES, in_order, rung_name
from .figures.gallery import behaviour_figures, bench_figure, ladder_figure, ledger_figure, result_figures, set_figures
from .footprint import footprints, measured_batches
from .ledger_table import break_even_words, ledger_entries
from .quantities import listing

_FOLDER = Path(__file__).parent / "templates"
_OUTCOMES = {
    "gain": "distillation helps",
    "mixed": "helps some students",
    "no-gain": "no gain",
    "control-gains": "control gains too",
    "unknown": "no comparison",
}


def render_page(report: Report) -> str:
    """The page's HTML."""
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        {name: getattr(quantities, name) for name in quantities.__all__},
        arm_names=ARM_NAMES,
        gain_words=gain_words,
        headed=headed,
        rung_name=rung_name,
        shown=shown,
        shown_gain=shown_gain,
        shown_spread=shown_spread,
        with_unit=with_unit,
        unbroken=unbroken,
        trusted=Markup,  # for the SVG that this program drew and the CSS that stands beside it, and nothing else
    )
    html = environment.get_template("page.html.j2").render(**_context(report))
    return re.sub(r"\n\s*\n+", "\n", html)


def unbroken(sentence: str) -> str:
    """A sentence whose names and figures are not broken over lines."""
    return sentence.replace("-", "\u2011").replace(" ± ", "\u00a0±\u00a0")


def columns_of(report: Report) -> dict[str, FigureKind]:
    """The figures that stand beside the primary one in the tables: those that somebody has."""
    everyone = [report.teacher.evaluation.metrics, *(one.metrics for one in report.students)]
    kinds = {key: kind for key, kind in report.judged.kinds.items() if key != report.judged.primary}
    return {key: kind for key, kind in kinds.items() if any(key in one for one in everyone)}


def _context(report: Report) -> dict[str, Any]:
    prints = footprints(report)
    machines = (report.teacher.evaluation.machine, *(one.machine for one in report.students))
    return {
        "report": report,
        "outcome": _OUTCOMES[report.verdict.outcome],
        "css": (_FOLDER / "page.css").read_text(encoding="utf-8"),
        "groups": [(name, in_order(report.arms(name))) for name in report.names],
        "arms": {one.arm for name in report.names for one in report.arms(name)},
        "footprints": prints,
        "batches": measured_batches(prints),
        "results": result_figures(report),
        "ladder": ladder_figure(report),
        "sets": set_figures(report),
        "columns": columns_of(report),
        "lower_is_better": listing([one.title for one in report.judged.kinds.values() if one.better == "lower"]),
        "breakdowns": breakdown_tables(report),
        "bench_figure": bench_figure(report),
        "behaviour": behaviour_figures(report),
        "break_even": ledger_figure(report),
        "ledger": ledger_entries(report.ledger),
        "break_even_words": break_even_words(report.ledger),
        "train": report.config["train"],
        "config": yaml.safe_dump(dict(report.config), sort_keys=False, allow_unicode=True),
        "machine": next((machine for machine in machines if machine), {}),
    }
