"""A command that runs elsewhere: planned here, recorded, then handed to an engine."""

import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Literal

from ...stages.student.files.durable_files import write_errors, write_whole
from ...stages.student.trial.trial import Trial
from ..config import CacheConfig, Config
from ..console import console, counted
from ..dry_run.first_look import look_at_students
from ..errors import ConfigError
from ..interruption import interruptible
from ..jobs import open_joined
from ..students.generations import links
from ..students.training import chosen_trials
from .engine import Engine, engine_of
from .plan import cache_stage, single_stage, train_stage
from .record import Job, new_job_folder, write_job
from .spec import LaunchSpec
from .task import Array, Stage

Verb = Literal["cache", "train", "evaluate", "report", "run"]


def launch_command(
    config: CacheConfig,
    path: Path,
    launch: LaunchSpec,
    verb: Verb,
    dry_run: bool = False,
    shards: str | None = None,
    trials: tuple[Trial, ...] | None = None,
) -> None:
    """Start what is missing for a command on `launch.engine`, or with `dry_run` print what would be started.

    Raises what the command itself would raise before it begins, ConfigError for a chain of generations, LaunchError
    when the engine refuses, LaunchFailed and Interrupted of an engine that waits.
    """
    if links(config):
        raise ConfigError(
            f"teachers.{next(iter(links(config)))}: it is a student of this file, and generations follow one another "
            "in one process: run this with `--launch inline`"
        )
    if config.cache.given and verb in ("cache", "run"):
        raise ConfigError(
            "cache.given: the training cache is not built, so there is no array of its shards: run `teachercache cache "
            "build` here, which hears the held-out samples, then launch `train`"
        )
    engine = engine_of(launch.engine)
    folder = new_job_folder(config.run, verb)
    stages = _with_arrays(
        engine, [stage for stage in _stages(config, launch, verb, folder, shards, trials) if stage.tasks]
    )
    if not stages:
        console.print(f"[green]{verb}[/green]: nothing is missing")
        return
    job = Job(folder, launch, str(path.absolute()), os.getcwd(), sys.executable, time.time(), tuple(stages))
    if dry_run:
        print(engine.preview(job))
        return
    _begin(job, path)
    with interruptible() as stop:
        job = engine.launch(job, stop)
    _tell(job, path)


def _stages(
    config: CacheConfig,
    launch: LaunchSpec,
    verb: Verb,
    folder: Path,
    shards: str | None,
    trials: tuple[Trial, ...] | None,
) -> list[Stage]:
    recipe = folder / "recipe.yaml"
    if verb == "cache":
        return [cache_stage(config, launch, recipe, shards)]
    assert isinstance(config, Config)
    if verb == "run":
        look_at_students(config)
        return [
            cache_stage(config, launch, recipe),
            train_stage(config, chosen_trials(config), launch, recipe),
            single_stage("evaluate", launch, recipe),
            single_stage("report", launch, recipe),
        ]
    open_joined(config)  # what lacks is said here, and not by every task
    if verb == "train":
        return [train_stage(config, chosen_trials(config) if trials is None else trials, launch, recipe)]
    return [single_stage(verb, launch, recipe)]


def _with_arrays(engine: Engine, stages: list[Stage]) -> list[Stage]:
    return [
        replace(stage, arrays=tuple(Array(first, count) for first, count in engine.arrays(len(stage.tasks))))
        for stage in stages
    ]


def _begin(job: Job, path: Path) -> None:
    """Write the record before anything starts: what is started is known, whatever happens to this process."""
    for folder in (job.attempts, job.folder / "logs"):
        with write_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
    write_whole(job.recipe, path.read_bytes())
    write_job(job)


def _tell(job: Job, path: Path) -> None:
    ids = [array.id for stage in job.stages for array in stage.arrays if array.id]
    tasks = ", ".join(f"{stage.name} {counted(len(stage.tasks), 'task')}" for stage in job.stages)
    known = f" as {', '.join(ids)}" if ids else ""
    console.print(f"[green]launched[/green] {job.name}{known}: {tasks}", soft_wrap=True)
    if ids:
        console.print(f"  teachercache jobs {path} --follow", soft_wrap=True)
