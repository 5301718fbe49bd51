"""Evaluation as the configuration asks for it: every finished student on one read, and the teacher from its cache."""

from collections.abc import Callable

from ..cache import open_cache
from ..cache.opening import cache_exists
from ..stages.class_order import check_kept
from ..stages.deploy.evaluate import evaluate_students
from ..stages.deploy.evaluate_teacher import evaluate_teacher
from ..stages.deploy.held_out import HeldOut
from ..stages.device import pick_device
from ..stages.errors import StageError
from .config import Config
from .console import console, counted, progress_bar
from .jobs import held_out_views, open_joined
from .training import chosen_trials


def evaluate_run(config: Config, stop: Callable[[], bool]) -> None:
    """Evaluate what is not evaluated yet. Raises StageError when no student is finished."""
    cache, join = open_joined(config, held_out=True)
    if cache_exists(config.cache_path):  # students may be evaluated where their cache is not
        check_kept(cache.manifest.classes, open_cache(config.cache_path).manifest.classes, "evaluate.source")
    held_out, device = HeldOut(cache, join), pick_device(config.train.device)
    folders = [trial.folder(config.run / "students") for trial in chosen_trials(config)]
    with progress_bar("evaluation", "samples") as bar:
        summary = evaluate_students(folders, held_out, config.evaluate, device, bar.update, stop)
    if not summary.evaluated and not summary.standing:
        raise StageError(f"{config.run} has no finished student; `teachercache train` makes them")
    teacher = config.teacher.model_dump(mode="json")
    views = held_out_views(config.views)
    evaluate_teacher(config.run / "teacher", held_out, teacher, views, config.evaluate, device, stop)
    evaluated, standing = len(summary.evaluated), len(summary.standing)
    console.print(
        f"[green]evaluated[/green] {counted(evaluated, 'student')} on {counted(len(held_out), 'sample')}, "
        f"{standing} stood already"
    )
