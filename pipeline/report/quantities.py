"""How numbers are written for people: the same words on the page, in the verdict and in the terminal."""

from .spread import Difference, Spread

__all__ = [
    "MISSING",
    "count",
    "difference",
    "duration",
    "error",
    "listing",
    "milliseconds",
    "percent",
    "percent_spread",
    "plain_spread",
    "points",
    "size",
]

MISSING = "–"


def percent(fraction: float | None, digits: int = 1) -> str:
    """0.8137 -> "81.4"; the unit stands in the column's head."""
    return MISSING if fraction is None else f"{_signed(fraction * 100, digits)}"


def percent_spread(found: Spread | None, digits: int = 1) -> str:
    """A fraction over seeds in percent: "81.4 ± 0.3"."""
    return MISSING if found is None else percent(found.mean, digits) + _plus_minus(found.std, 100, digits)


def plain_spread(found: Spread | None, digits: int = 3) -> str:
    """A figure over seeds: "0.512 ± 0.004"."""
    return MISSING if found is None else _signed(found.mean, digits) + _plus_minus(found.std, 1, digits)


def points(found: Difference | None, sign: bool = True) -> str:
    """A difference of fractions in percentage points: "+5.3 ± 0.4"."""
    if found is None:
        return MISSING
    mean = _signed(found.mean * 100, 1)
    plus = "+" if sign and mean != "0.0" and not mean.startswith("−") else ""
    return plus + mean + _plus_minus(found.std, 100, 1)


def difference(found: Difference | None, sign: bool = True, digits: int = 3) -> str:
    """A difference of figures that are no fractions: "+0.021 ± 0.004"."""
    if found is None:
        return MISSING
    mean = _signed(found.mean, digits)
    plus = "+" if sign and float(mean.replace("−", "-")) > 0 else ""
    return plus + mean + _plus_minus(found.std, 1, digits)


def count(number: float | None) -> str:
    """1234567 -> "1.23 M"; below 10,000 the number itself."""
    if number is None:
        return MISSING
    if number < 10_000:
        return f"{number:,.0f}"
    return _scaled(number / 1000, ("k", "M", "G"))


def size(number: float | None) -> str:
    """Bytes in decimal units: 412345 -> "412 kB"."""
    if number is None:
        return MISSING
    if number < 1000:
        return f"{number:.0f} B"
    return _scaled(number / 1000, ("kB", "MB", "GB", "TB"))


def duration(seconds: float | None) -> str:
    """0.012 -> "12 ms", 74.2 -> "74.2 s", 5400 -> "1 h 30 min"."""
    if seconds is None:
        return MISSING
    if seconds < 1:
        return f"{_three(seconds * 1000)} ms"
    if seconds < 120:
        return f"{_three(seconds)} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min {round(seconds) % 60} s"


def milliseconds(value: float | None) -> str:
    """Three digits: 0.4317 -> "0.432"."""
    return MISSING if value is None else _three(value)


def error(value: float) -> str:
    """A codec's error: two digits, "0" when it is none."""
    return "0" if value == 0 else f"{value:.2g}"


def listing(words: list[str]) -> str:
    """["a", "b", "c"] -> "a, b and c"."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _scaled(number: float, units: tuple[str, ...]) -> str:
    """In the first unit that leaves fewer than 1000."""
    if number < 999.5 or len(units) == 1:
        return f"{_three(number)} {units[0]}"
    return _scaled(number / 1000, units[1:])


def _three(value: float) -> str:
    """Three significant digits, never in powers of ten."""
    return f"{value:.2f}" if value < 9.995 else f"{value:.1f}" if value < 99.95 else f"{value:,.0f}"


def _signed(value: float, digits: int) -> str:
    text = f"{value:.{digits}f}"
    if float(text) == 0:
        return text.removeprefix("-")
    return text.replace("-", "−")


def _plus_minus(std: float | None, scale: float, digits: int) -> str:
    return "" if std is None else f" ± {std * scale:.{digits}f}"
