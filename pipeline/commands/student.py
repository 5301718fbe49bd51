"""`teachercache student describe`: what students are, before they are trained."""

import json
from typing import Annotated

import typer

from ..config import load_config
from ..console import console
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
    from ..describing_students import described_json, described_students, described_tables

    found = described_students(load_config(config), tuple(names or ()))
    if as_json:
        print(json.dumps(described_json(found), indent=1))
        return
    for table in described_tables(found):
        console.print(table)
