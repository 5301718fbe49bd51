"""`teachercache train`: phase two."""

from typing import Annotated

import typer

from ..config import load_config
from ..interruption import interruptible
from .arguments import ConfigPath, LaunchDryRun, LaunchName, Settle, chosen_launch


def train(
    config: ConfigPath,
    student: Annotated[list[str] | None, typer.Option(help="only this student; may be given several times")] = None,
    trials: Annotated[
        str | None, typer.Option(help="only these trials: names such as cnn/distilled/seed-0, or numbers such as 0-3,7")
    ] = None,
    launch: LaunchName = None,
    dry_run: LaunchDryRun = False,
    settle: Settle = None,
) -> None:
    """Train every student of the configuration side by side from the cache; no teacher is loaded.

    Example: [bold]teachercache train recipe.yaml --student cnn[/bold]

    The same command again continues from the newest checkpoints.
    """
    from ..generations import by_generation, check_links
    from ..gpu_memory import claim_share, note_peaks
    from ..training import chosen_trials, train_trials

    loaded = load_config(config)
    chosen = chosen_trials(loaded, student or (), trials)
    elsewhere = chosen_launch(loaded, launch, dry_run)
    if elsewhere is not None:
        from ..launching.launch import launch_command
        from ..studies import refuse_division

        refuse_division(loaded)
        launch_command(loaded, config, elsewhere, "train", dry_run, trials=chosen)
        return
    check_links(loaded)
    with interruptible() as stop:
        if settle is not None:
            from ..launching.settling import await_cache

            await_cache(loaded, settle, stop)
        claim_share(loaded, "train", stop)
        for part, trials_of_part in by_generation(loaded, chosen):
            note_peaks(part, train_trials(part, trials_of_part, stop, settle))
