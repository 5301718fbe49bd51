"""Figures as a table in the terminal, and as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from contest import Ratio
from figure import Figure
from rich.console import Console
from rich.table import Table

_REACHED = {True: "[green]yes[/]", False: "[red]no[/]", None: ""}
_WIDTH = 150  # where the output is no terminal


def wide_console() -> Console:
    """The terminal as it is; a file is wide enough for the table."""
    console = Console()
    return console if console.is_terminal else Console(width=_WIDTH)


def print_table(console: Console, machine: Mapping[str, str], figures: Mapping[str, Sequence[Figure]]) -> None:
    """One table for all benchmarks, with the machine above it and the notes below."""
    console.print(", ".join(f"{name} {value}" for name, value in machine.items()), highlight=False)
    table = Table(title="ours as a multiple of the reference: median of the rounds (lowest to highest)")
    for column in ("what", "ours", "reference", "wall", "CPU", "bar", "reached"):
        table.add_column(column, overflow="fold")
    for name, rows in figures.items():
        table.add_row(f"[bold]{name}[/]")
        for row in rows:
            times = _ratio(row.wall, row.ratio), _ratio(row.cpu, None)
            table.add_row(row.what, row.ours, row.reference, *times, row.bar, _REACHED[row.reached])
        table.add_section()
    console.print(table)
    for name, rows in figures.items():
        for row in rows:
            if row.note:
                console.print(f"{name}, {row.what}: {row.note}", highlight=False, markup=False)


def to_json(machine: Mapping[str, str], figures: Mapping[str, Sequence[Figure]]) -> dict[str, Any]:
    """Everything in the table."""
    return {
        "machine": dict(machine),
        "figures": {name: [asdict(row) for row in rows] for name, rows in figures.items()},
    }


def _ratio(ratio: Ratio | None, plain: float | None) -> str:
    if ratio is None:
        return "" if plain is None else f"{plain:.3g}"
    return f"{ratio.median:.2f} ({ratio.low:.2f} to {ratio.high:.2f})"
