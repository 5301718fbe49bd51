"""How far a job is: what its tasks have left behind, what the engine still holds, and how their last starts ended.

Receipts and saved students decide what is done. The engine and the records of starts only say why something is not: so
the answer is right after any crash, also one of the engine.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .attempt import Attempt, read_attempts
from .engine import Outlook, engine_of
from .errors import LaunchError
from .finished import FinishedShards, finished_trials
from .log import last_lines
from .record import Job
from .task import Stage, Task

State = Literal["done", "running", "waiting", "interrupted", "failed", "killed", "unfinished", "not started", "unknown"]
_ENDED: dict[str, State] = {"again": "interrupted", "failed": "failed", "finished": "unfinished"}
OPEN: tuple[State, ...] = ("running", "waiting", "unknown")  # something may still happen by itself


@dataclass(frozen=True, slots=True)
class TaskProgress:
    """One task: `done` of `total` shards or trials, and how often it was started after the first time."""

    stage: str
    number: int
    title: str
    state: State
    done: int
    total: int
    restarts: int
    attempts: tuple[Attempt, ...]
    log: Path

    def rate(self) -> float | None:
        """Shards or trials an hour, over all its starts; None before the first is done. Opens its records."""
        seconds = sum(float(attempt.content().get("seconds", 0.0)) for attempt in self.attempts)
        return self.done / seconds * 3600 if self.done and seconds else None

    def said(self) -> str:
        """What it said at the end, or last: the error that ended it, else the last line of its log."""
        error = str(self.attempts[-1].content().get("said", "")) if self.attempts else ""
        return error or " ".join(last_lines(self.log, 1))


def job_progress(job: Job, outlook: Outlook | None = None) -> list[TaskProgress]:
    """Every task of a job. `outlook` is what its engine holds; it is asked when left out."""
    outlook = _ask(job) if outlook is None else outlook
    attempts = read_attempts(job.attempts)
    addresses = {task.cache for stage in job.stages for task in stage.tasks if task.cache}
    caches = {address: FinishedShards(address) for address in addresses}
    students = job.folder.parent.parent / "students"
    return [
        _task(job, stage, number, attempts.get(f"{stage.name}-{number}", ()), outlook, caches, students)
        for stage in job.stages
        for number in range(len(stage.tasks))
    ]


def counts(tasks: Sequence[TaskProgress]) -> dict[State, int]:
    """How many tasks are in each state."""
    return dict(Counter(task.state for task in tasks))


def _ask(job: Job) -> Outlook:
    try:
        return engine_of(job.engine).outlook(job)
    except LaunchError:
        return Outlook({}, False)


def _task(
    job: Job,
    stage: Stage,
    number: int,
    attempts: Sequence[Attempt],
    outlook: Outlook,
    caches: Mapping[str, FinishedShards],
    students: Path,
) -> TaskProgress:
    task = stage.tasks[number]
    done, failed, total = _done(task, attempts, caches, students)
    held = outlook.held.get((stage.name, number))
    if done == total:
        state: State = "done"
    elif held is not None:
        state = held
    elif failed and done + failed == total:
        state = "failed"
    else:
        state = _ended(attempts, outlook)
    restarts, log = max(0, len(attempts) - 1), job.log(stage, number)
    return TaskProgress(stage.name, number, task.title, state, done, total, restarts, tuple(attempts), log)


def _done(
    task: Task, attempts: Sequence[Attempt], caches: Mapping[str, FinishedShards], students: Path
) -> tuple[int, int, int]:
    """Done, failed, and all that a task has to do."""
    if task.shards:
        done, total = caches[task.cache].count(task.shards)
        return done, 0, total
    if task.trials:
        return finished_trials(task, students)
    return int(any(attempt.ending == "finished" for attempt in attempts)), 0, 1


def _ended(attempts: Sequence[Attempt], outlook: Outlook) -> State:
    """Why a task is not done, of which the engine holds nothing (or cannot be asked)."""
    if not attempts:
        return "not started" if outlook.known else "unknown"
    if attempts[-1].ending == "running":
        return "killed" if outlook.known else "unknown"
    return _ENDED[attempts[-1].ending]
