"""`teachercache report`: the page to look at."""

from ..config import load_config
from .arguments import ConfigPath


def report(config: ConfigPath) -> None:
    """Write report.html and report.json of a run from what is on disk, and print the result table.

    Example: [bold]teachercache report recipe.yaml[/bold]
    """
    from ..reporting import report_run

    report_run(load_config(config))
