"""`teachercache evaluate`: what every finished student is worth on held-out samples."""

from ..config import load_config
from ..interruption import interruptible
from .arguments import ConfigPath


def evaluate(config: ConfigPath) -> None:
    """Measure every finished student, and the teacher from its cache, on the held-out samples.

    Example: [bold]teachercache evaluate recipe.yaml[/bold]
    """
    from ..evaluating import evaluate_run

    loaded = load_config(config)
    with interruptible() as stop:
        evaluate_run(loaded, stop)
