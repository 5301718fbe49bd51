"""`teachercache evaluate`: what every finished student is worth on held-out samples."""

import json
from typing import Annotated

import typer

from ..config import load_config
from ..console import quiet
from ..interruption import interruptible
from .arguments import ConfigPath, LaunchDryRun, LaunchName, Settle, chosen_launch


def evaluate(
    config: ConfigPath,
    as_json: Annotated[bool, typer.Option("--json", help="print every evaluation as JSON, and nothing else")] = False,
    launch: LaunchName = None,
    dry_run: LaunchDryRun = False,
    settle: Settle = None,
) -> None:
    """Measure every finished student, and the teacher from its cache, on the held-out samples.

    Example: [bold]teachercache evaluate recipe.yaml[/bold]
    """
    loaded = load_config(config)
    elsewhere = chosen_launch(loaded, launch, dry_run)
    if elsewhere is not None:
        from ..launching.launch import launch_command

        launch_command(loaded, config, elsewhere, "evaluate", dry_run)
        return
    from ..evaluating import evaluate_run, evaluations
    from ..launching.settling import await_evaluable
    from ..students.gpu_memory import claim_share

    with interruptible() as stop, quiet(as_json):
        if settle is not None:  # a stage of a chain, which does not begin with a part of what it needs
            await_evaluable(loaded, settle, stop)
        claim_share(loaded, "evaluate", stop)
        evaluate_run(loaded, stop)
    if as_json:
        typer.echo(json.dumps(evaluations(loaded), indent=1, ensure_ascii=False))
