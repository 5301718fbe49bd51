"""`teachercache student`: what students are before they are trained, and which of their shapes are worth their cost."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from ..config import load_config
from ..console import console, quiet
from ..interruption import interruptible
from .arguments import ConfigPath


def describe(
    config: ConfigPath,
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="students; all when left out")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON instead of tables")] = False,
) -> None:
    """List parameters, multiply-accumulates, outputs, and the cached signals that each student could learn from.

    Example: [bold]teachercache student describe recipe.yaml tiny[/bold]

    Builds each student and sends one blank row through it. Of a cache that stands already, it lists the signals.
    """
    from ..students.describing_students import described_json, described_students, described_tables

    found = described_students(load_config(config), tuple(names or ()))
    if as_json:
        print(json.dumps(described_json(found), indent=1))
        return
    for table in described_tables(found):
        console.print(table)


def search(
    config: ConfigPath,
    as_json: Annotated[bool, typer.Option("--json", help="print the front as JSON, and nothing else")] = False,
) -> None:
    """Search for sizes of a student that are worth their cost, all trained on the one cache.

    Example: [bold]teachercache student search recipe.yaml[/bold]

    The section `architecture` says what is tried. The same command again continues; more trials may be asked for.
    """
    from ..architecture.result import PAGE_FILE, write_result
    from ..architecture.search import search_folder, search_shapes

    loaded = load_config(config)
    with interruptible() as stop, quiet(as_json):
        points = search_shapes(loaded, stop, lambda line: console.print(line, markup=False, soft_wrap=True))
        front = write_result(loaded, points)
        folder = search_folder(loaded)
        console.print(f"[green]searched[/green] {len(points)} shapes, {len(front)} on the front: {folder / PAGE_FILE}")
    if as_json:
        typer.echo(json.dumps([asdict(one) for one in front], indent=1, ensure_ascii=False))
