"""A student with a sweep becomes its trials: students of their own, numbered, that say what was set in them."""

from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError

from ..spec import StudentSpec
from .choices import choices
from .settings import check_path, with_value
from .spec import RangeSpec

_FIXED = frozenset(("name", "sweep", "swept", "control"))


def expand_sweeps(students: Iterable[StudentSpec]) -> tuple[StudentSpec, ...]:
    """Every student, those with a sweep replaced by its trials `<name>-01`, `<name>-02`, ... in order; one that Optuna
    leads stays as it is, once everything that it may choose is checked.

    Raises ValueError naming the student and the parameter for what cannot be set.
    """
    return tuple(trial for student in students for trial in _trials(student))


def _trials(student: StudentSpec) -> tuple[StudentSpec, ...]:
    if student.sweep is None:
        return (student,)
    place = f"student {student.name}: sweep"
    for path in student.sweep.parameters:
        if path.partition(".")[0] in _FIXED:
            raise ValueError(f"{place}.parameters.{path}: this is what a trial is known by, and cannot be tried")
        try:
            check_path(student, path)
        except ValueError as error:
            raise ValueError(f"{place}.parameters.{error}") from None
    if student.sweep.kind == "optuna":
        _try_values(student, place)
        return (student,)
    try:
        found = choices(student.sweep)
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None
    return tuple(numbered(student, number, values) for number, values in enumerate(found, 1))


def _try_values(student: StudentSpec, place: str) -> None:
    """Each value by itself: those of a list, and both ends of a range."""
    assert student.sweep is not None
    for path, found in student.sweep.parameters.items():
        for value in found if not isinstance(found, RangeSpec) else _ends(found):
            numbered(student, 1, {path: value})


def _ends(spec: RangeSpec) -> tuple[float, float]:
    return (int(spec.low), int(spec.high)) if spec.integer else (spec.low, spec.high)


def numbered(student: StudentSpec, number: int, values: dict[str, Any]) -> StudentSpec:
    """Trial `number` (1 is the first) of a student's sweep, with these values. Raises ValueError for what is wrong."""
    place = f"student {student.name}: sweep"
    settings = student.model_dump(mode="json", exclude_unset=True, exclude={"sweep"})
    for path, value in values.items():
        with_value(settings, path, value)
    try:
        return StudentSpec.model_validate({**settings, "name": f"{student.name}-{number:02d}", "swept": values})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueError(f"{place}: trial {number} ({_said(values)}) is not valid: {where}: {first['msg']}") from None


def _said(values: dict[str, Any]) -> str:
    return ", ".join(f"{path} {value}" for path, value in values.items())
