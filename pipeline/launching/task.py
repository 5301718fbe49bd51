"""What a job consists of: stages one after the other, each of tasks that may run at the same time.

A task is a command line of teachercache that does nothing twice, and what it leaves when it is done: shards of a cache,
trials, or a file. Whether it is done is asked of these alone.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

StageName = Literal["cache", "train", "evaluate", "report"]


@dataclass(frozen=True, slots=True)
class Task:
    """`arguments` of the command line, without the configuration; `cache` (its address) and the numbers of the `shards`
    that it finishes there, as text such as "0-3,7"; or the folders of its `trials` below the students'."""

    arguments: tuple[str, ...]
    cache: str = ""
    shards: str = ""
    trials: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """What it is about, in a word or two."""
        return f"shards {self.shards}" if self.shards else ", ".join(self.trials) or " ".join(self.arguments)


@dataclass(frozen=True, slots=True)
class Array:
    """Tasks `first`, `first + 1`, ... of a stage as one job of a scheduler, once it is known under `id`."""

    first: int
    count: int
    id: str = ""


@dataclass(frozen=True, slots=True)
class Stage:
    """Tasks that may run at the same time."""

    name: StageName
    tasks: tuple[Task, ...]
    arrays: tuple[Array, ...] = field(default=())


def stage_json(stage: Stage) -> dict[str, Any]:
    """A stage as it stands in the record of a job."""
    return asdict(stage)


def stage_of(content: Mapping[str, Any]) -> Stage:
    """The stage that `stage_json` wrote."""
    tasks = tuple(
        Task(tuple(task["arguments"]), task["cache"], task["shards"], tuple(task["trials"]))
        for task in content["tasks"]
    )
    return Stage(content["name"], tasks, tuple(Array(**array) for array in content["arrays"]))
