"""Measures the figures of docs/benchmarks.md: `python tests/benchmarks/run.py [NAMES] [--json FILE]`.

Every figure is a ratio to a reference that is measured in the same run, in turn with it. Nothing is asserted: a bar
that is not reached is a `no` in the table.
"""

import importlib
import json
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from figure import Figure
from machine import describe_machine
from table import print_table, to_json, wide_console

BENCHMARKS = (
    "reading",
    "opening",
    "building",
    "teacher",
    "shuffling",
    "feeding",
    "training",
    "fleet",
    "online",
    "writing",
    "sizes",
    "sampling",
    "sparse_cost",
    "prune",
    "shipping",
    "search_kept",
    "peers",
    "stores",
)


def run(
    names: Annotated[list[str] | None, typer.Argument(help=f"some of {', '.join(BENCHMARKS)}")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="also write the figures here")] = None,
    tiny: Annotated[bool, typer.Option(help="sizes too small to mean anything: does it run at all?")] = False,
) -> None:
    """Measure, and print one table."""
    console, machine = wide_console(), describe_machine()
    unknown = sorted(set(names or ()) - set(BENCHMARKS))
    if unknown:
        raise typer.BadParameter(f"there is no benchmark {unknown[0]!r}; there are {', '.join(BENCHMARKS)}")
    figures: dict[str, list[Figure]] = {}
    for name in names or BENCHMARKS:
        started = time.perf_counter()
        with TemporaryDirectory(prefix="teachercache-bench-") as scratch:
            figures[name] = importlib.import_module(name).measure(tiny, Path(scratch))
        console.print(f"{name}: {time.perf_counter() - started:.0f} s", highlight=False)
    print_table(console, machine, figures)
    if json_file is not None:
        json_file.write_text(json.dumps(to_json(machine, figures), indent=2) + "\n")


if __name__ == "__main__":
    typer.run(run)
