"""One panel: a small matplotlib drawing as inline SVG whose colours are the page's CSS variables.

Text stays text, so that it is small, takes the page's font and can be searched. The same data gives the same bytes.
"""

import io
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

WIDTH, HEIGHT = 360.0, 240.0  # units of the drawing; a narrow phone shows one at its own size

# Stand-ins that matplotlib draws with; each becomes the CSS variable of its name, so one drawing fits both schemes.
COLOURS = {
    "ink": "#0a0a01",
    "muted": "#0a0a02",
    "rule": "#0a0a03",
    "surface": "#0a0a04",
    "teacher": "#0a0a05",
    "distilled": "#0a0a06",
    "labels-only": "#0a0a07",
    "shuffled-cache": "#0a0a08",
    "random-selection": "#0a0a09",
}
MARKERS = {"teacher": "D", "distilled": "o", "labels-only": "s", "shuffled-cache": "^", "random-selection": "v"}

_STYLE: Any = {  # versions of matplotlib disagree on the type of these keys
    "font.family": "DejaVu Sans",
    "font.size": 11.0,
    "text.color": COLOURS["ink"],
    "axes.labelcolor": COLOURS["muted"],
    "axes.edgecolor": COLOURS["rule"],
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "figure.facecolor": "none",
    "grid.color": COLOURS["rule"],
    "grid.linewidth": 0.7,
    "lines.linewidth": 1.8,
    "lines.markersize": 6.0,
    "xtick.color": COLOURS["rule"],
    "ytick.color": COLOURS["rule"],
    "xtick.labelcolor": COLOURS["muted"],
    "ytick.labelcolor": COLOURS["muted"],
    "text.parse_math": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "teachercache",
}
_NO_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}


@dataclass(frozen=True, slots=True)
class Panel:
    """A drawing: `svg` is safe to put into a page as it is; `alt` says what it shows to who does not see it."""

    title: str
    svg: str
    alt: str


def draw_panel(
    name: str, title: str, alt: str, paint: Callable[[Axes], None], width: float = WIDTH, height: float = HEIGHT
) -> Panel:
    """Draw one set of axes. `name` must be unique on the page: the drawing's ids begin with it."""
    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)  # only measured here; the page's font has it
        figure = Figure(figsize=(width / 72, height / 72), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        axes.tick_params(length=0)
        paint(axes)
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata=_NO_METADATA)
    return Panel(title, _inline(out.getvalue(), name), alt)


def _inline(svg: str, name: str) -> str:
    """A stand-alone SVG made fit for a page: own ids, no fixed size, no namespaces, the page's fonts and colours."""
    svg = svg[svg.index("<svg") :].strip()
    head, body = svg.split(">", 1)
    box = re.search(r'viewBox="([^"]*)"', head)
    assert box is not None
    body = re.sub(r'\bid="', f'id="{name}-', body)
    body = body.replace("url(#", f"url(#{name}-").replace('xlink:href="#', f'href="#{name}-')
    body = re.sub(r"font: ([0-9.]+)px [^;\"]*", r"font-size: \1px", body)
    for variable, colour in COLOURS.items():
        body = body.replace(colour, f"var(--{variable})")
    return f'<svg viewBox="{box.group(1)}" aria-hidden="true" focusable="false">{body}'
