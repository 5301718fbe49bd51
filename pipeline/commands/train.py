"""`teachercache train`: phase two."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..config import Config, load_config
from ..interruption import interruptible
from ..launching.spec import LaunchSpec
from ..students.together import refuse_ranks, refuse_studies, together
from .arguments import ConfigPath, LaunchDryRun, LaunchName, Settle, chosen_launch

if TYPE_CHECKING:
    from ...stages.student.ranks.ranks import Ranks


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

    The same command again continues from the newest checkpoints. `torchrun --nproc-per-node 4 -m teachercache train
    recipe.yaml` trains each student on several GPUs.
    """
    with together() as ranks:
        loaded = load_config(config)
        elsewhere = chosen_launch(loaded, launch, dry_run)
        if elsewhere is None:
            _train_here(loaded, ranks, student or (), trials, settle)
            return
        refuse_ranks("train --launch", "start it without torchrun")
        _train_elsewhere(loaded, config, elsewhere, student or (), trials, dry_run)


def _train_elsewhere(
    loaded: Config, config: Path, elsewhere: LaunchSpec, students: Sequence[str], trials: str | None, dry_run: bool
) -> None:
    from ..launching.launch import launch_command
    from ..students.studies import refuse_division
    from ..students.training import chosen_trials

    chosen = chosen_trials(loaded, students, trials)
    refuse_division(loaded)
    launch_command(loaded, config, elsewhere, "train", dry_run, trials=chosen)


def _train_here(
    loaded: Config, ranks: "Ranks", students: Sequence[str], trials: str | None, settle: float | None
) -> None:
    from ..students.generations import by_generation, check_links
    from ..students.gpu_memory import claim_share, note_peaks
    from ..students.training import chosen_trials, train_trials

    refuse_studies(loaded, ranks)
    chosen = chosen_trials(loaded, students, trials)
    check_links(loaded)
    with interruptible() as stop:
        if settle is not None:
            from ..launching.settling import await_cache

            await_cache(loaded, settle, stop)
        claim_share(loaded, "train", stop)
        for part, trials_of_part in by_generation(loaded, chosen):
            results = train_trials(part, trials_of_part, stop, settle, ranks)
            if ranks.is_first:
                note_peaks(part, results)
