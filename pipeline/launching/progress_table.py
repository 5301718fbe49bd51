"""The progress of a job for people, and as JSON."""

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from ..console import counted
from .progress import TaskProgress, counts
from .record import Job

SHOWN = 20  # tasks that are listed one by one
_ORDER = ("failed", "killed", "interrupted", "unfinished", "unknown", "running", "not started", "waiting", "done")
_COLOURS = {"done": "green", "running": "cyan", "failed": "bold red", "killed": "red", "interrupted": "yellow"}


def stage_lines(job: Job, tasks: Sequence[TaskProgress]) -> list[str]:
    """A line for each stage: its tasks by state, and how much of its work is done."""
    lines = []
    for stage in job.stages:
        own = [task for task in tasks if task.stage == stage.name]
        states = counts(own)
        words = ", ".join(f"{states[state]:,} {state}" for state in _ORDER if state in states)
        work = {"cache": "shard", "train": "trial"}.get(stage.name)
        done, total = sum(task.done for task in own), sum(task.total for task in own)
        amount = f"; {done:,} of {counted(total, work)}" if work else ""
        restarts = sum(task.restarts for task in own)
        again = f"; {counted(restarts, 'restart')}" if restarts else ""
        ids = " ".join(array.id for array in stage.arrays if array.id)
        lines.append(f"{stage.name}{f' ({ids})' if ids else ''}: {words}{amount}{again}")
    return lines


def task_table(tasks: Sequence[TaskProgress], every: bool) -> Table | None:
    """The tasks that are not done, the worst first, or `every` one; None when there is none to show."""
    chosen = [task for task in tasks if every or task.state != "done"]
    if not every:
        chosen = sorted(chosen, key=lambda task: _ORDER.index(task.state))[:SHOWN]
    if not chosen:
        return None
    table = Table("stage", "task", "what", "state", "done", "an hour", "restarts", "last words", title_justify="left")
    for task in chosen:
        rate = task.rate() if task.state in ("running", "waiting", "done") else None
        colour = _COLOURS.get(task.state, "default")
        table.add_row(
            task.stage,
            str(task.number),
            _short(task.title),
            f"[{colour}]{task.state}[/]",
            f"{task.done}/{task.total}",
            "" if rate is None else f"{rate:,.1f}",
            str(task.restarts or ""),
            _escaped(_short(task.said(), 100)),
        )
    return table


def progress_json(job: Job, tasks: Sequence[TaskProgress]) -> dict[str, Any]:
    """The same for programs; what was said only of tasks that neither are done nor wait."""
    return {
        "job": job.name,
        "engine": job.engine,
        "created": job.created,
        "states": counts(tasks),
        "tasks": [
            {
                "stage": task.stage,
                "task": task.number,
                "what": task.title,
                "state": task.state,
                "done": task.done,
                "total": task.total,
                "restarts": task.restarts,
                "log": str(task.log),
                **({} if task.state in ("done", "waiting", "not started") else {"said": task.said()}),
            }
            for task in tasks
        ],
    }


def _short(text: str, most: int = 40) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def _escaped(text: str) -> str:
    return text.replace("[", r"\[")
