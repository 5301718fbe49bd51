"""`teachercache report`: the page to look at."""

from ..config import load_config
from ..interruption import interruptible
from .arguments import ConfigPath, LaunchDryRun, LaunchName, Settle, chosen_launch


def report(config: ConfigPath, launch: LaunchName = None, dry_run: LaunchDryRun = False, settle: Settle = None) -> None:
    """Write report.html and report.json of a run from what is on disk, and print the result table.

    Example: [bold]teachercache report recipe.yaml[/bold]
    """
    loaded = load_config(config)
    elsewhere = chosen_launch(loaded, launch, dry_run)
    if elsewhere is not None:
        from ..launching.launch import launch_command

        launch_command(loaded, config, elsewhere, "report", dry_run)
        return
    from ..reporting import report_run

    if settle is not None:  # a stage of a chain, which does not begin with a part of what it needs
        from ..launching.settling import await_evaluations

        with interruptible() as stop:
            await_evaluations(loaded, settle, stop)
    report_run(loaded)
