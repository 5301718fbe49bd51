"""`teachercache jobs`: what was launched, how far it is, and why something is not done."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..config import load_cache_config
from ..console import console
from ..errors import ConfigError
from ..interruption import interruptible
from .arguments import ConfigPath

if TYPE_CHECKING:
    from ..launching.progress import TaskProgress
    from ..launching.record import Job


def jobs(
    config: ConfigPath,
    job: Annotated[str | None, typer.Option(help="its name, or a part of it; the newest when left out")] = None,
    follow: Annotated[bool, typer.Option("--follow", help="look again until nothing runs or waits")] = False,
    cancel: Annotated[bool, typer.Option("--cancel", help="end what runs or waits; finished work stays")] = False,
    every: Annotated[bool, typer.Option("--all", help="list every task, also those that are done")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON instead of tables")] = False,
    interval: Annotated[float, typer.Option(min=0.2, help="seconds between two looks of --follow")] = 5.0,
) -> None:
    """Show the jobs that were launched for a configuration: state, finished shards, restarts, last words of each task.

    Example: [bold]teachercache jobs recipe.yaml --follow[/bold]

    What is done is asked of the cache and of the students, so the answer is right after any crash.
    """
    from ..launching.engine import engine_of
    from ..launching.progress import OPEN, job_progress
    from ..launching.progress_table import progress_json

    found, older = _chosen(load_cache_config(config).run, job)
    if cancel:
        (found.folder / "cancelled").touch()  # first: a task that is ended now must not ask to be started again
        engine_of(found.engine).cancel(found)
        console.print(f"[green]cancelled[/green] {found.name}; finished shards and checkpoints stay")
        return
    with interruptible() as stop:
        while True:
            tasks = job_progress(found)
            if as_json:
                print(json.dumps(progress_json(found, tasks)))
            else:
                _show(found, older, tasks, every)
            if not follow or stop() or not any(task.state in OPEN for task in tasks):
                break
            time.sleep(interval)
            if console.is_terminal and not as_json:
                console.clear()


def _chosen(run: Path, name: str | None) -> tuple["Job", int]:
    """The job meant, and how many older ones there are. Raises ConfigError when there is none, or more than one."""
    from ..launching.record import job_folders, read_job

    folders = job_folders(run)
    meant = [folder for folder in folders if name is None or name in folder.name]
    if not meant:
        known = ", ".join(folder.name for folder in folders[-3:]) or "none; --launch slurm or local makes one"
        raise ConfigError(f"{run} has no such job; the newest are: {known}")
    if name is not None and len(meant) > 1:
        raise ConfigError(f"--job {name} may be {', '.join(folder.name for folder in meant[-3:])}; say more of it")
    return read_job(meant[-1]), folders.index(meant[-1])


def _show(job: "Job", older: int, tasks: Sequence["TaskProgress"], every: bool) -> None:
    from ..launching.progress_table import stage_lines, task_table

    more = f"; {older} older, see --job" if older else ""
    console.print(f"[bold]{job.name}[/bold] on {job.engine}{more}", soft_wrap=True)
    for line in stage_lines(job, tasks):
        console.print(f"  {line}", soft_wrap=True, markup=False)
    table = task_table(tasks, every)
    if table is not None:
        console.print(table)
