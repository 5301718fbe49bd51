"""The dry run: two samples go through every part, and the whole run's bytes and time are foretold.

Source, views, teacher, codecs, a temporary shard, the join, and one step of each student run as they will; what cannot
work is said before an hour is spent.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np

from ...cache import Cache, open_cache
from ...data import Source
from ...stages.device import pick_device
from ...stages.errors import StageError
from ...stages.student.fleet import check_fleet, train_fleet
from ...stages.student.pruning.course import prune_steps
from ...stages.student.spec import TrainSpec
from ...stages.student.stream.stream import Stream
from ...stages.student.trial.trial import (
    Trial,
    needed_fields,
    needed_signals,
    needed_sources,
    needs_shuffled,
)
from ...stages.teacher.capture_cost import CaptureCost, capture_cost, pass_seconds, repeated_inputs
from ...stages.teacher.extension import plan_extensions
from ...stages.teacher.families.family import open_teacher
from ...stages.teacher.independence import check_independence
from ...stages.teacher.job import CacheJob
from ...stages.teacher.privacy.key import KEY_FILE
from ...stages.teacher.privacy.release import release_of
from ...stages.teacher.runner import build_cache
from ...stages.teacher.skipping import look_at_samples
from ..building import cache_job, check_sets, held_out_jobs
from ..config import CacheConfig, Config
from ..jobs import open_training
from ..students.studies import study_rungs
from ..students.training import chosen_trials, student_shape
from ..teachers.other_teachers import other_jobs
from .first_look import look_at_fields
from .labels import check_labels, label_fields
from .samples import FewSamples
from .standing_cache import cache_to_try, heard, standing_notes
from .trying_metrics import build_few, try_metrics

_SAMPLES = 2
_TOGETHER = 4  # samples of a batch that is held against batches of one
_STEPS = 3  # of which the first is not timed


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a run will cost. `signal_bytes` and `row_bytes` are per row; seconds are measured here and extrapolated."""

    samples: int
    labelled: int
    rows: int
    shards: int
    signal_bytes: dict[str, int]
    signal_errors: dict[str, dict[str, float]]
    teacher_seconds: float
    students: dict[str, int]
    trials: int
    train_seconds: float
    costs: CaptureCost
    notes: tuple[str, ...] = ()

    @property
    def row_bytes(self) -> int:
        return sum(self.signal_bytes.values())

    @property
    def cache_bytes(self) -> int:
        return self.row_bytes * self.rows


def check_run(config: CacheConfig) -> Forecast:
    """Try every part of a configuration on a few samples. Raises the error that the run itself would have met."""
    job = cache_job(config)
    if isinstance(config, Config):
        check_sets(config, job.source, held_out_jobs(config))
    trials = chosen_trials(config) if isinstance(config, Config) else ()
    if isinstance(config, Config):
        look_at_fields(config, trials)
        samples, labelled = check_labels(config, trials, job.source)
    else:
        samples, labelled = _count(job.source)
    if config.cache.given:
        return _check_given(config, job, trials, samples, labelled)
    standing = standing_notes(job)
    with TemporaryDirectory(prefix="teachercache-check-") as folder:
        job, left_out = look_at_samples(job, job.source.shards()[:1])
        source = FewSamples(job.source, _SAMPLES, label_fields(config, trials))
        few = replace(job, root=Path(folder) / "cache", source=source, signals=heard(job), key=Path(folder) / KEY_FILE)
        built = build_cache(few)
        spent = release_of(replace(job, key=few.key))
        notes = (*standing, *left_out, *(built.notes if spent is None else (f"private: {spent}",)))
        check_independence(replace(few, source=FewSamples(job.source, _TOGETHER)))
        rates = [_teacher_rate(few, built.pace.batch_size)]
        rates += [_try_other(other, few) for other in other_jobs(config).values()]
        costs = capture_cost(few, built.pace.batch_size)
        cache = open_cache(few.root)
        parameters, seconds = _try_students(config, cache, few, trials, Path(folder))
    schemas = cache.manifest.signals
    return Forecast(
        samples=samples,
        labelled=labelled,
        rows=samples * job.policy.count,
        shards=len(job.source.shards()),
        signal_bytes={name: schema.row_bytes() for name, schema in schemas.items()},
        signal_errors={name: dict(schema.error) for name, schema in schemas.items()},
        teacher_seconds=samples * job.policy.count * sum(1 / rate for rate in rates),
        costs=costs,
        students=parameters,
        trials=len(trials),
        train_seconds=seconds,
        notes=notes,
    )


def _check_given(
    config: CacheConfig, job: CacheJob, trials: tuple[Trial, ...], samples: int, labelled: int
) -> Forecast:
    """Where the cache is given, the students take their first steps on it, and the teacher has nothing to do."""
    cache, _ = open_training(config)
    with TemporaryDirectory(prefix="teachercache-check-") as folder:
        parameters, seconds = _try_students(config, cache, job, trials, Path(folder))
    schemas = {name: cache.manifest.signals[name] for name in config.cache.signals}
    return Forecast(
        samples=samples,
        labelled=labelled,
        rows=samples * job.policy.count,
        shards=len(job.source.shards()),
        signal_bytes={name: schema.row_bytes() for name, schema in schemas.items()},
        signal_errors={name: dict(schema.error) for name, schema in schemas.items()},
        teacher_seconds=0.0,
        costs=CaptureCost(0.0, {}),
        students=parameters,
        trials=len(trials),
        train_seconds=seconds,
        notes=(f"the cache is given: {cache.url}",),
    )


def _count(source: Source) -> tuple[int, int]:
    """Samples, and how many of them have a label."""
    labels = [source.open(shard).labels for shard in source.shards()]
    return sum(map(len, labels)), int(sum((found >= 0).sum() for found in labels))


def _teacher_rate(job: CacheJob, batch_size: int) -> float:
    """Rows per second of the teacher, heard, on a batch of its real size made of the same two samples."""
    inputs = repeated_inputs(job, batch_size)
    teacher = open_teacher(job.teacher, job.folder, job.signals, pick_device(job.teacher.device))
    times = [pass_seconds(teacher, inputs) for _ in range(_STEPS)]
    teacher.close()
    return len(next(iter(inputs.values()))) / min(times[1:])


def _try_other(job: CacheJob, few: CacheJob) -> float:
    """What another teacher says of the same samples goes beside the main teacher's; its rows per second."""
    tried = replace(job, root=few.root, source=few.source)
    built = [build_cache(plan.job) for plan in plan_extensions(tried)]
    check_independence(replace(tried, source=FewSamples(job.source, _TOGETHER)))
    return _teacher_rate(tried, max(one.pace.batch_size for one in built))


def _try_students(
    config: CacheConfig, cache: Cache, job: CacheJob, trials: tuple[Trial, ...], folder: Path
) -> tuple[dict[str, int], float]:
    """Take a few steps with one trial per student and arm: parameters by student, seconds of the training of all."""
    if not isinstance(config, Config):
        return {}, 0.0
    sets = build_few(config, _SAMPLES, folder)
    device = pick_device(config.train.device)
    train = _short(config.train, trials)
    cache, join = cache_to_try(config, job, cache, needed_signals(trials))
    signals = [name for name in needed_signals(trials) if name in cache.manifest.signals]
    sources, fields = needed_sources(trials), needed_fields(trials)
    stream = Stream(cache, join, train, signals, device, needs_shuffled(trials), sources, fields)
    shape = student_shape(config, cache)
    check_fleet(trials, stream, shape, config.train, study_rungs(config, trials))
    moments: list[float] = []
    tried = tuple(
        {(trial.student.name, trial.arm): _in_few_steps(trial, config.train.steps) for trial in trials}.values()
    )
    results = train_fleet(
        tried, stream, shape, folder / "students", train, device, progress=lambda _: moments.append(perf_counter())
    )
    for result in results:
        if result.status == "failed":
            raise StageError(f"students.{result.trial.name}: its first steps failed: {result.reason}")
    try_metrics(sets, [result.folder for result in results], device)
    step = float(np.diff(moments).min()) * len(trials) / len(tried) * config.train.steps
    return {result.trial.student.name: _parameters(result.folder) for result in results}, step


def _short(train: TrainSpec, trials: tuple[Trial, ...]) -> TrainSpec:
    """The same batches for a few steps, one a phase at least; the two samples must do for the labelled ones."""
    labelled = None if train.labelled is None else train.labelled.model_copy(update={"count": 1})
    steps = max(_STEPS + 1, *(len(trial.student.course) for trial in trials))
    short = {"steps": steps, "labelled": labelled, "checkpoint_every": 10**9, "halving": None, "track": ()}
    return train.model_copy(update=short)


def _in_few_steps(trial: Trial, steps: int) -> Trial:
    """The same trial with phases of equal length, pruned once to the end: few steps must do for all of it. Raises
    StageError for a pruning that `steps`, those of the training, are too few for."""
    phases, prune = trial.student.phases, trial.student.prune
    changes: dict[str, object] = {}
    if phases is not None:
        equal = tuple(phase.model_copy(update={"share": 1 / len(phases)}) for phase in phases)
        changes["phases"] = equal
    if prune is not None:
        prune_steps(prune, steps, f"students.{trial.student.name}")
        changes["prune"] = prune.model_copy(update={"steps": 1, "start": 0.5})
    return replace(trial, student=trial.student.model_copy(update=changes))


def _parameters(folder: Path) -> int:
    from ...stages.student.files.saved import load_student

    return sum(p.numel() for p in load_student(folder).parameters())
