"""`teachercache teacher report`: how good a teacher is, from its cache."""

from typing import Annotated

import typer

from ..config import load_config
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

    Reads the finished training cache; loads no model. Writes teacher.html, teacher.json and suspects.csv into
    <output>/teacher-report.
    """
    from ..judging import judge_run

    judge_run(load_config(config), signal, tuple(beside or ()), student)
