"""Evaluation as the configuration asks for it: every finished student on one read, and the teacher from its cache."""

from collections.abc import Callable
from typing import Any

from ..cache import open_cache
from ..cache.opening import cache_exists
from ..stages.class_order import check_kept
from ..stages.deploy.evaluation.evaluate import evaluate_students
from ..stages.deploy.evaluation.evaluate_teacher import evaluate_teacher
from ..stages.deploy.evaluation.held_out import HeldOut
from ..stages.deploy.evaluation.held_out_sets import HeldOutSets, prompt_metrics
from ..stages.deploy.evaluation.record import read_record
from ..stages.device import pick_device
from ..stages.errors import StageError
from .config import Config
from .console import console, counted, progress_bar
from .jobs import held_out_views, open_set, set_field
from .students.training import chosen_trials


def evaluate_run(config: Config, stop: Callable[[], bool]) -> None:
    """Evaluate what is not evaluated yet. Raises StageError when no student is finished."""
    held_out, device = open_sets(config), pick_device(config.train.device)
    folders = [trial.folder(config.run / "students") for trial in chosen_trials(config)]
    with progress_bar("evaluation", "samples") as bar:
        summary = evaluate_students(folders, held_out, config.evaluate, device, bar.update, stop)
    if not summary.evaluated and not summary.standing:
        raise StageError(f"{config.run} has no finished student; `teachercache train` makes them")
    teacher = config.teacher.model_dump(mode="json")
    views = held_out_views(config.views)
    source = next(iter(config.evaluate.named_sets.values())).model_dump(mode="json")
    evaluate_teacher(config.run / "teacher", held_out, teacher, views, config.evaluate, device, stop, source)
    evaluated, standing = len(summary.evaluated), len(summary.standing)
    samples = " and ".join(counted(len(one), "sample") for one in held_out.sets.values())
    console.print(f"[green]evaluated[/green] {counted(evaluated, 'student')} on {samples}, {standing} stood already")


def open_sets(config: Config) -> HeldOutSets:
    """Every held-out set and every set of prompts, from their finished caches."""
    metrics = config.evaluate.chosen_metrics
    sets = {name: _open(config, name, metrics) for name in config.evaluate.named_sets}
    prompts = {
        name: _open(config, name, prompt_metrics(metrics, name)[:1])
        for name in config.evaluate.prompts
        if prompt_metrics(metrics, name)
    }
    return HeldOutSets(sets, prompts)


def evaluations(config: Config) -> dict[str, Any]:
    """Every evaluation that is there, as JSON: {"teacher": ..., "students": {"<student>/<arm>/seed-<n>": ...}}."""
    students = {trial.name: trial.folder(config.run / "students") for trial in chosen_trials(config)}
    found = {name: read_record(folder) for name, folder in students.items()}
    return {
        "teacher": read_record(config.run / "teacher"),
        "students": {name: record for name, record in found.items() if record is not None},
    }


def _open(config: Config, name: str, metrics: Any) -> HeldOut:
    cache, join = open_set(config, name)
    if cache_exists(config.cache_path):  # students may be evaluated where their cache is not
        field = set_field(config, name)
        check_kept(cache.manifest.classes, open_cache(config.cache_path).manifest.classes, field)
    return HeldOut(cache, join, metrics, name)
