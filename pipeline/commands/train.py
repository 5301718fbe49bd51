"""`teachercache train`: phase two."""

from typing import Annotated

import typer

from ..config import load_config
from ..interruption import interruptible
from .arguments import ConfigPath


def train(
    config: ConfigPath,
    student: Annotated[list[str] | None, typer.Option(help="only this student; may be given several times")] = None,
) -> None:
    """Train every student of the configuration side by side from the cache; no teacher is loaded.

    Example: [bold]teachercache train recipe.yaml --student cnn[/bold]

    The same command again continues from the newest checkpoints.
    """
    from ..training import train_students

    loaded = load_config(config)
    with interruptible() as stop:
        train_students(loaded, stop, student or ())
