"""Ray as an engine: each task is a task of Ray, with retries, on a cluster that exists. The command waits for them.

Ray places tasks, restarts those whose worker or machine was lost, and divides GPUs (by counting alone: a quarter of one
limits nothing). What is done, it is never asked.
"""

import os
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ....stages.errors import Interrupted
from ...console import console, counted
from ..attempt import read_attempts
from ..engine import Outlook
from ..errors import LaunchError, LaunchFailed
from ..failure import failure_text
from ..record import Job
from ..task import Stage
from .connection import connected, most_gpus
from .driver import held_tasks, note_driver
from .remote import TaskStopped, run_task

_LOOK = 0.5  # seconds between two looks at whether to stop


class Ray:
    """The cluster that `launch.address` names."""

    def arrays(self, count: int) -> list[tuple[int, int]]:
        return [(0, count)]

    def preview(self, job: Job) -> str:
        where = job.launch.address or os.environ.get("RAY_ADDRESS") or "auto"
        lines = [f"# on the Ray cluster at {where}, in {job.directory}"]
        for stage in job.stages:
            own = ", ".join(f"{name}={value}" for name, value in _options(job, stage, 0.0).items())
            lines.append(f"# {stage.name}: {counted(len(stage.tasks), 'task')} of Ray with {own}")
            lines += [shlex.join(["teachercache", *task.arguments]) for task in stage.tasks]
        return "\n".join(lines)

    def launch(self, job: Job, stop: Callable[[], bool]) -> Job:
        with connected(job.launch.address) as ray:
            note_driver(job)
            for stage in job.stages:
                console.rule(f"{stage.name}: {counted(len(stage.tasks), 'task')}")
                failed = _run_stage(ray, job, stage, stop)
                if failed:
                    raise LaunchFailed(failure_text(job, stage, failed))
        return job

    def outlook(self, job: Job) -> Outlook:
        return held_tasks(job, read_attempts(job.attempts))

    def cancel(self, job: Job) -> None:
        """Nothing to do: the command that waits for the tasks sees that the job is cancelled, and ends them."""


@dataclass(slots=True)
class _Tasks:
    """The tasks of a stage: those that wait for their turn, those that Ray has by their reference, how others ended."""

    waiting: list[int]
    given: dict[Any, int] = field(default_factory=dict)
    failed: dict[int, int | str] = field(default_factory=dict)
    interrupted: bool = False


def _run_stage(ray: Any, job: Job, stage: Stage, stop: Callable[[], bool]) -> Mapping[int, int | str]:
    """Run all tasks; how those ended that failed. Raises Interrupted after they have stopped."""
    tasks, at_once = _Tasks(list(range(len(stage.tasks)))), job.launch.workers or len(stage.tasks)
    options = _options(job, stage, most := most_gpus(ray))
    if options["num_gpus"] > most:
        _tell_waiting(job, stage, options["num_gpus"], most)
    remote = ray.remote(run_task).options(**options)
    while tasks.given or (tasks.waiting and not tasks.interrupted):
        if not tasks.interrupted and (stop() or (job.folder / "cancelled").exists()):
            tasks.interrupted = True
            for reference in tasks.given:
                ray.cancel(reference)
        while tasks.waiting and len(tasks.given) < at_once and not tasks.interrupted:
            number = tasks.waiting.pop(0)
            tasks.given[_give(remote, job, stage, number, options["num_gpus"])] = number
        if tasks.given:
            for reference in ray.wait(list(tasks.given), timeout=_LOOK)[0]:
                _end(ray, stage, tasks, reference)
    if tasks.interrupted:
        raise Interrupted(f"stopped in the stage {stage.name}; the same command continues")
    return tasks.failed


def _tell_waiting(job: Job, stage: Stage, asked: float, most: float) -> None:
    """A cluster that grows by itself may still bring the GPUs; one of this machine alone never will."""
    said = f"launch.gpus: a task of the stage {stage.name} asks for {asked:g} GPUs, and no machine of Ray has"
    if job.launch.address == "local":
        raise LaunchError(f"{said} more than {most:g}; say `gpus: 0`, or name a cluster that has them")
    console.print(f"[yellow]{said} more than {most:g} now: its tasks wait until one joins[/yellow]", soft_wrap=True)


def _give(remote: Any, job: Job, stage: Stage, number: int, gpus: float) -> Any:
    log, record = job.log(stage, number).absolute(), job.attempts.absolute() / f"{stage.name}-{number}"
    return remote.remote(stage.tasks[number].arguments, job.directory, str(log), str(record), gpus)


def _end(ray: Any, stage: Stage, tasks: _Tasks, reference: Any) -> None:
    """Note how a task ended."""
    number = tasks.given.pop(reference)
    try:
        code = ray.get(reference)
    except ray.exceptions.TaskCancelledError:
        return
    except ray.exceptions.RayError as error:
        cause = getattr(error, "cause", None) or error
        tasks.failed[number] = " ".join((str(cause).strip() or type(cause).__name__).split())[:500]
        return
    if code == 0:
        console.print(f"[green]{stage.name}[/green] task {number}: {stage.tasks[number].title}", soft_wrap=True)
    else:
        tasks.failed[number] = code


def _options(job: Job, stage: Stage, most: float) -> dict[str, Any]:
    """What Ray is asked for a task; `most` GPUs has a machine of the cluster."""
    return {
        "name": f"teachercache-{stage.name}",
        "num_cpus": job.launch.cpus or 1,
        "num_gpus": job.launch.gpus_of(stage.name, most),
        "max_retries": job.launch.crashes,
        "retry_exceptions": [TaskStopped],
    }
