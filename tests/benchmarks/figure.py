"""One row of the result table: a figure beside its reference, and beside the bar that it has to reach."""

from dataclasses import dataclass

from contest import Clock, Outcome, Ratio


@dataclass(frozen=True, slots=True)
class Figure:
    """`ratio` is what `bar` is about; `wall` and `cpu` are the two ways to take it, None where nothing was timed.

    `ours` and `reference` are for people. `reached` is None where no bar was set.
    """

    what: str
    ours: str
    reference: str
    ratio: float
    wall: Ratio | None = None
    cpu: Ratio | None = None
    bar: str = ""
    reached: bool | None = None
    note: str = ""


def compared(
    what: str,
    outcome: Outcome,
    ours: str,
    reference: str,
    unit: str,
    bar: float | None = None,
    clock: Clock = "wall",
    note: str = "",
) -> Figure:
    """The speed of contender `ours` as a multiple of `reference`'s; `bar` is the least it should be, on `clock`."""
    wall, cpu = outcome.ratio(ours, reference), outcome.ratio(ours, reference, "cpu")
    judged = (wall if clock == "wall" else cpu).median
    return Figure(
        what,
        f"{outcome.rate(ours):,.0f} {unit}/s",
        f"{reference}: {outcome.rate(reference):,.0f} {unit}/s",
        judged,
        wall,
        cpu,
        "" if bar is None else f">= {bar:g} {clock}",
        None if bar is None else judged >= bar,
        note,
    )
