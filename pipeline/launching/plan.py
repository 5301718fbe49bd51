"""Which stages and tasks a command consists of: missing shards, trials that are not finished, evaluation, report.

The plan is made once, of what is missing now. A task that finds its work done by somebody else has nothing to do.
"""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Literal

from ...cache import open_cache
from ...cache.opening import cache_exists
from ...stages.student.files.saved import is_saved
from ...stages.student.trial.trial import Trial
from ...stages.teacher.extension import member_jobs, plan_extensions, unfinished_members
from ...stages.teacher.job import CacheJob
from ..building import cache_jobs, held_out_jobs
from ..config import CacheConfig, Config
from ..keeping.shard_choice import named_shards
from ..part_building import TRAINING
from ..teachers.other_teachers import other_jobs
from .division import numbers_text, shares, waves
from .packing import Peak, packs
from .peaks import read_peaks
from .spec import LaunchSpec
from .task import Stage, Task

_CLUSTER_TASKS, _LOCAL_TASKS = 32, 1  # of a stage, when nobody says how many


def task_count(launch: LaunchSpec) -> int:
    """Most tasks of a stage."""
    if launch.array is not None:
        return launch.array
    return _CLUSTER_TASKS if launch.engine in ("slurm", "ray") else launch.workers or _LOCAL_TASKS


def cache_stage(config: CacheConfig, launch: LaunchSpec, recipe: Path, chosen: str | None = None) -> Stage:
    """Tasks that build the missing shards (of the training cache, those of `chosen`), and the held-out caches.

    Raises what the build itself would raise before its first shard: every sample's id is looked at, here and once.
    """
    training, *_ = cache_jobs(config)
    lacking = _lacked_of_others(config)
    tasks = _shard_tasks(training, TRAINING, launch, recipe, _missing(training, chosen, lacking))
    for name, job in (held_out_jobs(config) if isinstance(config, Config) else {}).items():
        tasks += _shard_tasks(job, name, launch, recipe, _missing(job))
    return Stage("cache", tuple(tasks))


def train_stage(config: Config, trials: Sequence[Trial], launch: LaunchSpec, recipe: Path) -> Stage:
    """Tasks that train those of `trials` that are not finished, a wave of them in each."""
    students = config.run / "students"
    missing = [trial for trial in trials if not is_saved(trial.folder(students))]
    parts = _trial_parts(missing, launch, students)
    commands = [_command(recipe, "train", *_settle(launch), "--trials", ",".join(part)) for part in parts]
    tasks = (Task(command, trials=tuple(part)) for command, part in zip(commands, parts, strict=True))
    return Stage("train", tuple(tasks))


def _trial_parts(trials: Sequence[Trial], launch: LaunchSpec, students: Path) -> list[Sequence[str]]:
    """Names of the trials of each task: as many as `wave` says; as fit on the GPU, of students whose memory is known;
    or spread evenly."""
    names = [trial.name for trial in trials]
    if launch.wave:
        return waves(names, launch.wave)
    budget = launch.train_bytes()
    peaks = {} if budget is None else {**_budgets(trials), **read_peaks(students, _names(trials))}
    known = [(trial.student.name, trial.name) for trial in trials if trial.student.name in peaks]
    unknown = [trial.name for trial in trials if trial.student.name not in peaks]
    return [*packs(known, peaks, budget or 0.0), *shares(unknown, task_count(launch))]


def _budgets(trials: Sequence[Trial]) -> dict[str, Peak]:
    """What a trial of each student may take, where its settings say so."""
    return {one.student.name: Peak(int(one.student.memory * 1e9), 1) for one in trials if one.student.memory}


def _names(trials: Sequence[Trial]) -> list[str]:
    return sorted({trial.student.name for trial in trials})


def single_stage(name: Literal["evaluate", "report"], launch: LaunchSpec, recipe: Path) -> Stage:
    """Evaluation or report: one task each, which verifies what it needs."""
    return Stage(name, (Task(_command(recipe, name, *_settle(launch))),))


def _settle(launch: LaunchSpec) -> tuple[str, str]:
    return "--settle", f"{launch.settle:g}"


def _command(recipe: Path, *words: str) -> tuple[str, ...]:
    """A task's command line: the verb, the job's own configuration, and never another launch."""
    verbs = words[:2] if words[0] == "cache" else words[:1]
    return (*verbs, str(recipe.absolute()), "--launch", "inline", *words[len(verbs) :])


def _shard_tasks(job: CacheJob, part: str, launch: LaunchSpec, recipe: Path, missing: Sequence[int]) -> list[Task]:
    tasks = []
    for share in shares(missing, task_count(launch), launch.shards):
        text = numbers_text(share)
        command = _command(recipe, "cache", "build", "--part", part, "--checked", "--shards", text)
        tasks.append(Task(command, str(job.root), text))
    return tasks


def _missing(job: CacheJob, chosen: str | None = None, more: Collection[str] = ()) -> list[int]:
    """Numbers of the shards that the cache or one of its extensions lacks, and of `more`, in the source's order."""
    names = list(job.source.shards())
    lacking = {shard for member in member_jobs(job) for shard in _lacking(member)} | set(more)
    if chosen is not None:
        lacking &= named_shards(names, chosen)
    return [number for number, name in enumerate(names) if name in lacking]


def _lacked_of_others(config: CacheConfig) -> set[str]:
    """Shards that an extension of another teacher lacks, where there is a cache that it could extend."""
    if not cache_exists(config.cache_path):
        return set()
    jobs = other_jobs(config).values()
    return {
        shard for job in jobs for it in (*unfinished_members(job), *plan_extensions(job)) for shard in it.part.shards
    }


def _lacking(job: CacheJob) -> Sequence[str]:
    if not cache_exists(job.address):
        return list(job.source.shards())
    return open_cache(job.address, extensions=False).missing()
