"""`teachercache evaluate`: what every finished student is worth on held-out samples."""

import json
from typing import Annotated

import typer

from ..config import load_config
from ..console import quiet
from ..interruption import interruptible
from .arguments import ConfigPath


def evaluate(
    config: ConfigPath,
    as_json: Annotated[bool, typer.Option("--json", help="print every evaluation as JSON, and nothing else")] = False,
) -> None:
    """Measure every finished student, and the teacher from its cache, on the held-out samples.

    Example: [bold]teachercache evaluate recipe.yaml[/bold]
    """
    from ..evaluating import evaluate_run, evaluations

    loaded = load_config(config)
    with interruptible() as stop, quiet(as_json):
        evaluate_run(loaded, stop)
    if as_json:
        typer.echo(json.dumps(evaluations(loaded), indent=1, ensure_ascii=False))
