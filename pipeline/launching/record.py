"""The record of a job: a folder below `<output>/jobs`, written before anything is started.

    <output>/jobs/<name>/
      job.json            what was asked: stages, tasks, and under which ids a scheduler knows them
      recipe.yaml         the configuration as it was then; tasks read this copy
      <stage>-<n>.sbatch  what was given to sbatch
      attempts/           one file for each start of a task (attempt.py)
      logs/               what tasks said

`job.json` is replaced whole. It says what was begun, never what is done.
"""

import json
import secrets
import time
from dataclasses import dataclass, replace
from pathlib import Path

from ...stages.student.files.durable_files import write_whole
from .errors import LaunchError
from .spec import EngineName, LaunchSpec
from .task import Stage, stage_json, stage_of

JOB_FILE, CONFIG_FILE = "job.json", "recipe.yaml"


@dataclass(frozen=True)
class Job:
    """A job in `folder`: who runs it, for which configuration, from which working `directory`, by which `python`;
    `created` in Unix seconds by the clock of the machine that began it."""

    folder: Path
    launch: LaunchSpec
    config: str
    directory: str
    python: str
    created: float
    stages: tuple[Stage, ...]

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def engine(self) -> EngineName:
        return self.launch.engine

    @property
    def recipe(self) -> Path:
        """The copy of the configuration that tasks read."""
        return self.folder / CONFIG_FILE

    @property
    def attempts(self) -> Path:
        return self.folder / "attempts"

    def log(self, stage: Stage, task: int) -> Path:
        """Where a task's output goes, over all its starts; named by its array and its place in it, as sbatch does."""
        first = next(array.first for array in stage.arrays if 0 <= task - array.first < array.count)
        return self.folder / "logs" / f"{stage.name}-{first}+{task - first}.log"

    def command(self, stage: Stage, task: int) -> list[str]:
        """The command line of one task."""
        return [self.python, "-m", "teachercache", *stage.tasks[task].arguments]

    def with_stage(self, stage: Stage) -> "Job":
        """The job with that stage in the place of the one of its name."""
        return replace(self, stages=tuple(stage if it.name == stage.name else it for it in self.stages))


def jobs_folder(run: Path) -> Path:
    """Where the records of a run's jobs are."""
    return run / "jobs"


def new_job_folder(run: Path, verb: str) -> Path:
    """A folder that nobody has, below the run's; names sort by time as far as clocks agree."""
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    return jobs_folder(run) / f"{stamp}-{verb}-{secrets.token_hex(2)}"


def write_job(job: Job) -> None:
    """Write `job.json`, whole or not at all. Raises StageFailed when the disk refuses."""
    content = {
        "format": 1,
        "launch": job.launch.model_dump(mode="json"),
        "config": job.config,
        "directory": job.directory,
        "python": job.python,
        "created": job.created,
        "stages": [stage_json(stage) for stage in job.stages],
    }
    write_whole(job.folder / JOB_FILE, json.dumps(content, ensure_ascii=False).encode() + b"\n")


def read_job(folder: Path) -> Job:
    """The job recorded in `folder`. Raises LaunchError for a record that cannot be read."""
    try:
        content = json.loads((folder / JOB_FILE).read_bytes())
        return Job(
            folder,
            LaunchSpec.model_validate(content["launch"]),
            content["config"],
            content["directory"],
            content["python"],
            content["created"],
            tuple(stage_of(stage) for stage in content["stages"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LaunchError(
            f"{folder / JOB_FILE} cannot be read ({error}); cancel its tasks with the scheduler's own commands, "
            "and delete the folder"
        ) from error


def job_folders(run: Path) -> list[Path]:
    """The folders of a run's jobs, oldest first."""
    found = jobs_folder(run)
    return sorted(folder for folder in found.iterdir() if (folder / JOB_FILE).exists()) if found.is_dir() else []
