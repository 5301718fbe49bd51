"""Phase two as the configuration asks for it: every trial side by side on one stream. No teacher is looked at."""

import difflib
from collections.abc import Callable, Collection, Sequence

from ...cache import Cache
from ...stages.deploy.evaluation.held_out_sets import judged_outputs
from ...stages.student.fleet import train_fleet
from ...stages.student.models.builders import StudentShape
from ...stages.student.ranks.joining import rank_device
from ...stages.student.ranks.ranks import ALONE, Ranks
from ...stages.student.stream.join import Join
from ...stages.student.stream.stream import Stream
from ...stages.student.sweep.score import sweep_name
from ...stages.student.sweep.stopped import is_over
from ...stages.student.sweep.study_rungs import StudyRungs
from ...stages.student.trial.training import TrialResult
from ...stages.student.trial.trial import (
    Trial,
    needed_fields,
    needed_signals,
    needed_sources,
    needs_shuffled,
    plan_trials,
)
from ..config import Config
from ..console import console, counted
from ..errors import ConfigError
from ..jobs import open_joined
from ..keeping.shard_choice import named_items
from .fleet_view import watched_fleet
from .studies import is_whole, lead, studies_of, study_rungs


def train_students(config: Config, stop: Callable[[], bool], names: Collection[str] = ()) -> list[TrialResult]:
    """Train every trial (or those of the students named) that is not finished, and say how each ended."""
    return train_trials(config, chosen_trials(config, names), stop)


def train_trials(
    config: Config,
    trials: Sequence[Trial],
    stop: Callable[[], bool],
    patience: float | None = None,
    ranks: Ranks = ALONE,
) -> list[TrialResult]:
    """Train those trials that are not finished, and say how each ended; of a study of which all trials so far are among
    them, those that it chooses next too. With `patience` (seconds) another process that trains one of them is no error,
    but waited for a while. Of several `ranks` all call this."""
    whole = [study for study in studies_of(config, trials) if is_whole(config, study, trials)]
    if not whole:
        return _train_fleet(config, trials, stop, patience, study_rungs(config, trials), ranks)
    led = {study.student.name for study in whole}
    results: list[TrialResult] = []

    def train(round_trials: Sequence[Trial], rungs: StudyRungs) -> list[TrialResult]:
        results.extend(_train_fleet(config, round_trials, stop, patience, rungs, ranks))
        return results

    others = [trial for trial in trials if sweep_name(trial.student) not in led]
    lead(config, whole, others, chosen_trials, train)
    return results


def _train_fleet(
    config: Config,
    trials: Sequence[Trial],
    stop: Callable[[], bool],
    patience: float | None,
    rungs: StudyRungs | None,
    ranks: Ranks,
) -> list[TrialResult]:
    require_competitors(config, trials)
    cache, join = open_joined(config)
    with watched_fleet(counted(len(trials), "trial")) as view:
        results = train_fleet(
            trials,
            open_stream(config, cache, join, trials, ranks),
            student_shape(config, cache),
            config.run / "students",
            config.train,
            rank_device(config.train.device, ranks),
            stop,
            view.show,
            patience,
            rungs,
            ranks,
        )
    _tell(config, results)
    return results


def require_competitors(config: Config, trials: Sequence[Trial]) -> None:
    """Raise ConfigError where halving would compare a part of a sweep: all its trials train in one process."""
    if config.train.halving is None:
        return
    sweeps = {sweep_name(trial.student) for trial in trials} - {None}
    known, students = {trial.name for trial in trials}, config.run / "students"
    for other in chosen_trials(config):
        if sweep_name(other.student) in sweeps and other.name not in known and not is_over(other.folder(students)):
            raise ConfigError(
                f"train.halving: it compares all trials of a sweep, and {other.name} is not among those to train here; "
                "train them in one process, without --student, --trials and several tasks, or leave halving out"
            )


def chosen_trials(config: Config, names: Collection[str] = (), text: str | None = None) -> tuple[Trial, ...]:
    """The trials of the configuration, or of the students or sweeps named; of these the ones that `text` names, or
    numbers in the configuration's order ("0-3,7"). Raises ConfigError for a student or a trial there is not."""
    known = [student.name for student in config.students]
    sweeps = {sweep_name(student) for student in config.students}
    for name in names:
        if name not in known and name not in sweeps:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
            raise ConfigError(f"--student {name}: the configuration has no such student; {hint}")
    chosen = [one for one in config.students if not names or one.name in names or sweep_name(one) in names]
    trials = plan_trials(chosen, config.train, judged_outputs(config.evaluate.chosen_metrics))
    if text is None:
        return trials
    kept = named_items([trial.name for trial in trials], text, "--trials", "trial")
    return tuple(trial for trial in trials if trial.name in kept)


def open_stream(config: Config, cache: Cache, join: Join, trials: Collection[Trial], ranks: Ranks = ALONE) -> Stream:
    """The stream that these trials share; it reads the signals that they need and no other, and of several `ranks` the
    rows of this one."""
    if config.train.batch_size < ranks.size:
        raise ConfigError(f"train.batch_size: {config.train.batch_size} rows are too few for {ranks.size} processes")
    device = rank_device(config.train.device, ranks)
    signals = [name for name in needed_signals(trials) if name in cache.manifest.signals]
    shuffled, fields = needs_shuffled(trials), needed_fields(trials)
    return Stream(cache, join, config.train, signals, device, shuffled, needed_sources(trials), fields, ranks.division)


def student_shape(config: Config, cache: Cache) -> StudentShape:
    """What every student takes and gives: views of the cache, and its classes."""
    teacher = teacher_of_cuts(config)
    return StudentShape(len(cache.manifest.classes), config.views.channels, config.views.size, teacher=teacher)


def teacher_of_cuts(config: Config) -> str | None:
    """The folder of the teacher's files where a student is cut from it, else None; the teacher is not loaded.

    Raises ConfigError for a teacher that is a module of its own, which nothing can be cut from.
    """
    if not any(student.use == "teacher" and "model" not in student.args for student in config.students):
        return None
    if config.teacher.model is None:
        raise ConfigError("students: a teacher that is a module of your own cannot be cut: name args.model, a folder")
    # Here, because training needs nothing of the teacher but the words of its settings.
    from ...stages.teacher.weights import teacher_folder

    return str(teacher_folder(config.teacher))


def _tell(config: Config, results: list[TrialResult]) -> None:
    finished = sum(result.status == "finished" for result in results)
    console.print(f"[green]trained[/green] {finished} of {counted(len(results), 'trial')} in {config.run / 'students'}")
    for result in results:
        if result.status != "finished":
            word = "[red]failed[/red]" if result.status == "failed" else "[yellow]stopped[/yellow]"
            console.print(f"{word} {result.trial.name} at step {result.step}: {result.reason}", soft_wrap=True)
