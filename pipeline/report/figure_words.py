"""How figures of merit are written, each in its unit: percent and points, or the figure itself."""

from ...stages.deploy.metrics.figure_kind import FigureKind
from .quantities import MISSING, difference, percent, percent_spread, plain_spread, points
from .spread import Difference, Spread


def shown(kind: FigureKind, value: float | None) -> str:
    """A figure of one model: "81.4" of a fraction, "0.512" of anything else; the unit stands in the column's head."""
    if value is None:
        return MISSING
    return percent(value) if kind.unit == "%" else plain_spread(Spread(value, None, (value,)))


def shown_spread(kind: FigureKind, found: Spread | None) -> str:
    """A figure over seeds: "81.4 ± 0.3"."""
    return percent_spread(found) if kind.unit == "%" else plain_spread(found)


def shown_gain(kind: FigureKind, found: Difference | None, sign: bool = True) -> str:
    """A difference of figures: "+5.3 ± 0.4" in points, or "+0.021 ± 0.004"; a gain is positive, whatever is better."""
    return points(found, sign) if kind.unit == "%" else difference(found, sign)


def with_unit(kind: FigureKind, text: str) -> str:
    """A figure with its unit behind it: "81.4 %"."""
    return f"{text} {kind.unit}".rstrip()


def gain_words(kind: FigureKind) -> str:
    """What a gain is counted in: points of a fraction, else the unit and the figure: "nats of NLL"."""
    return "points" if kind.unit == "%" else f"{kind.unit} of {kind.title}".lstrip()


def headed(text: str) -> str:
    """As the head of a column: the first letter is a capital."""
    return text[:1].upper() + text[1:]
