"""`teachercache cache build`: phase one."""

from typing import Annotated

import typer

from ...config import load_cache_config
from ...console import console
from ...interruption import interruptible
from ...keeping.shard_choice import choose_shards
from ..arguments import ConfigPath, LaunchDryRun, LaunchName, chosen_launch


def build(
    config: ConfigPath,
    shards: Annotated[str | None, typer.Option(help="only these shards: names, or numbers such as 0-3,7")] = None,
    part: Annotated[
        str | None,
        typer.Option(help="only the `training` cache, or the one of a held-out set; --shards are of its source"),
    ] = None,
    checked: Annotated[
        bool,
        typer.Option("--checked", help="with --part: ids of all samples were compared before; open these shards only"),
    ] = False,
    launch: LaunchName = None,
    dry_run: LaunchDryRun = False,
) -> None:
    """Run the teacher over every shard that is missing, and keep what it says.

    Example: [bold]teachercache cache build recipe.yaml[/bold]

    The same command again continues where it stopped.
    """
    loaded = load_cache_config(config)
    elsewhere = chosen_launch(loaded, launch, dry_run)
    if elsewhere is not None:
        from ...launching.launch import launch_command

        launch_command(loaded, config, elsewhere, "cache", dry_run, shards)
        return
    from ...building import build_caches
    from ...part_building import build_part
    from ...students.generations import within_reach

    loaded, waiting = within_reach(loaded)
    with interruptible() as stop:
        if part is None:
            build_caches(loaded, stop, choose_shards(loaded, shards))
        else:
            build_part(loaded, part, shards, checked, stop)
    for name in waiting:
        console.print(
            f"[yellow]waiting[/yellow] teachers.{name}: its student is not trained; `teachercache run` does both"
        )
