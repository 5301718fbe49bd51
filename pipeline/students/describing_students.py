"""`student describe`: what each student of a configuration is, as a table and as JSON."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table

from ...cache.opening import cache_exists
from ...stages.deploy.description import DescribedStudent, describe_student
from ...stages.errors import StageError
from ...stages.student.models.builders import StudentShape
from ..config import Config
from ..jobs import open_training, source_of
from .training import chosen_trials, open_stream, student_shape, teacher_of_cuts

_NUMBERS = ("parameters", "without embeddings", "MACs a row")


def described_students(config: Config, names: Sequence[str] = ()) -> list[DescribedStudent]:
    """The students of a configuration, or those named. With a finished cache, beside the signals they could learn from.

    Raises ConfigError for a student there is not, StageError for one that cannot be built.
    """
    trials = {trial.student.name: trial for trial in chosen_trials(config, names)}.values()
    if not cache_exists(config.cache_path):
        return [describe_student(trial.student, _without_cache(config), trial.outputs, {}) for trial in trials]
    cache, join = open_training(config)
    stream, shape = open_stream(config, cache, join, tuple(trials)), student_shape(config, cache)
    found = []
    for trial in trials:
        inputs = stream.input_shapes(trial.student.takes)
        own = StudentShape(shape.classes, shape.channels, shape.size, inputs, shape.teacher)
        found.append(describe_student(trial.student, own, trial.outputs, cache.manifest.signals))
    return found


def described_json(found: Sequence[DescribedStudent]) -> list[dict[str, Any]]:
    """The same as JSON."""
    return [asdict(one) for one in found]


def described_tables(found: Sequence[DescribedStudent]) -> list[Table]:
    """The same for people: a table of the students, and one for each of its outputs and signals."""
    return [_sizes(found), *(table for one in found for table in _of_student(one))]


def _sizes(found: Sequence[DescribedStudent]) -> Table:
    table = _table("students", "student", "model", "parameters", "without embeddings", "MACs a row")
    for one in found:
        macs = f"{one.macs / 1e6:,.2f} M"
        table.add_row(one.name, one.model, f"{one.parameters:,}", f"{one.without_embeddings:,}", macs)
    return table


def _of_student(one: DescribedStudent) -> list[Table]:
    outputs = _table(f"{one.name}: outputs", "output", "shape of a row")
    for name, shape in one.outputs.items():
        outputs.add_row(name, " x ".join(map(str, shape)) or "one number")
    if not one.signals:
        return [outputs]
    signals = _table(f"{one.name}: signals it could learn from", "signal", "shape of a row", "how", "outputs")
    for near in one.signals:
        size = " x ".join(map(str, near.shape))
        for how, names in near.ways.items() or [("not by shape alone", ())]:
            signals.add_row(near.signal, size, how, ", ".join(names))
    return [outputs, signals]


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, justify="right" if column in _NUMBERS else "left")
    return table


def _without_cache(config: Config) -> StudentShape:
    """As far as the configuration says it: a cache says how texts and arrays look."""
    for student in config.students:
        if any(source.image is None for source in student.takes.values()):
            raise StageError(
                f"students.{student.name}: it takes texts or arrays, and how they look is known from the cache: run "
                "`teachercache cache build` first"
            )
    classes = len(source_of(config.source).classes)
    return StudentShape(classes, config.views.channels, config.views.size, teacher=teacher_of_cuts(config))
