"""`teachercache teacher describe` and `report`: where a teacher can be heard, and how good it is by its cache."""

import json
from typing import Annotated

import typer

from ..config import load_cache_config
from ..console import console
from .arguments import ConfigPath


def report(
    config: ConfigPath,
    signal: Annotated[str, typer.Option(help="the signal that holds the teacher's logits")] = "logits",
    beside: Annotated[list[str] | None, typer.Option(help="logits of another teacher in the same cache")] = None,
    student: Annotated[
        float | None, typer.Option(min=0, max=1, help="accuracy of the student in mind from labels alone, such as 0.71")
    ] = None,
) -> None:
    """Judge the teacher by its cache and the labels: calibration, classes, views, suspected label errors, and advice.

    Example: [bold]teachercache teacher report recipe.yaml --student 0.71[/bold]

    Reads the finished training cache; loads no model, and needs no students. Writes teacher.html, teacher.json and
    suspects.csv into <output>/teacher-report.
    """
    from ..teachers.judging import judge_run

    judge_run(load_cache_config(config), signal, tuple(beside or ()), student)


def describe(
    given: Annotated[str, typer.Argument(metavar="CONFIG|MODEL", help="the YAML file of the run, or a model's folder")],
    teacher: Annotated[
        str | None, typer.Option(metavar="NAME", help="the one of this name under `teachers`; all when left out")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON instead of a table")] = False,
) -> None:
    """List every well-known point at which a teacher can be heard, with the shape and the bytes of a row.

    Example: [bold]teachercache teacher describe models/my-clip[/bold]

    Any module of the teacher can be heard by its path as well. Loads the model; one sample goes through it. Of a file
    with several teachers each is described, the main one first.
    """
    from ..teachers.describing import describe as described
    from ..teachers.describing import described_json, described_table

    if as_json:
        print(json.dumps(described_json(dict(described(given, teacher))), indent=1))
        return
    for name, found in described(given, teacher):
        console.print(described_table(name, found))
