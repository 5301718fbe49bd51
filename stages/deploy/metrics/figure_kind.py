"""What a figure of merit is called, its unit, and which way is better. No torch: settings name figures."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Better = Literal["higher", "lower"]


@dataclass(frozen=True, slots=True)
class FigureKind:
    """`unit` is "%" of a fraction between 0 and 1 (shown times 100), or the unit of the figure itself, which may be
    empty."""

    title: str
    unit: str
    better: Better


def prefixed(kinds: Mapping[str, FigureKind], name: str | None) -> dict[str, FigureKind]:
    """The figures of a metric under its name: `<name>.<figure>`; as they are without one."""
    if name is None:
        return dict(kinds)
    return {f"{name}.{key}": FigureKind(f"{name} {one.title}", one.unit, one.better) for key, one in kinds.items()}
