"""The seam between a planned job and whoever starts its tasks. An engine delivers at least once, sometimes twice at the
same time; tasks are made for that. It promises nothing about what is done."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from .errors import LaunchError
from .record import Job
from .spec import EngineName

Held = Literal["waiting", "running"]
TaskKey = tuple[str, int]  # name of the stage, number of the task


@dataclass(frozen=True, slots=True)
class Outlook:
    """What an engine knows of the tasks that it still holds; `known` is False when it cannot be asked."""

    held: Mapping[TaskKey, Held]
    known: bool


class Engine(Protocol):
    """Starts the tasks of a job whose record is written."""

    def arrays(self, count: int) -> list[tuple[int, int]]:
        """How `count` tasks of a stage are cut: first task and number of tasks of each array."""

    def preview(self, job: Job) -> str:
        """What would be started, for people."""

    def launch(self, job: Job, stop: Callable[[], bool]) -> Job:
        """Start every stage after the one before it has ended; the job with the ids under which it is known.

        Raises LaunchError when the engine refuses, and then nothing of the job runs; LaunchFailed when tasks failed
        while it waited for them; Interrupted when `stop` says so.
        """

    def outlook(self, job: Job) -> Outlook:
        """Tasks that wait or run."""

    def cancel(self, job: Job) -> None:
        """End every task that waits or runs. Raises LaunchError when the engine cannot be asked."""


def engine_of(name: EngineName) -> Engine:
    """The engine of that name. Raises LaunchError for `inline`, which starts nothing elsewhere."""
    if name == "slurm":
        from .slurm import Slurm

        return Slurm()
    if name == "local":
        from .local import Local

        return Local()
    if name == "ray":
        from .ray_cluster.engine import Ray

        return Ray()
    raise LaunchError("launch.engine: inline runs in this process, and has no jobs")
