"""What a search is asked for, checked against the rest of the configuration."""

import difflib
from typing import Any

from ...stages.deploy.architecture.spec import ArchitectureSpec
from ...stages.student.spec import StudentSpec
from ...stages.student.sweep.settings import check_path
from ..config import Config
from ..errors import ConfigError

_FIXED = frozenset(("name", "sweep", "swept", "control"))


def search_spec(config: Config) -> ArchitectureSpec:
    """The section `architecture`. Raises ConfigError where there is none, or it names what there is not."""
    spec = config.architecture
    if spec is None:
        raise ConfigError(
            "architecture: the configuration has no such section; it says which sizes of a student are tried"
        )
    sets = list(config.evaluate.named_sets)
    if spec.judged_on is not None and spec.judged_on not in sets:
        raise ConfigError(f"architecture.judged_on: there is no held-out set {spec.judged_on!r}; there are {sets}")
    if spec.seeds > len(config.train.seeds):
        raise ConfigError(f"architecture.seeds: {spec.seeds} of {len(config.train.seeds)} train.seeds cannot be taken")
    return spec


def searched_student(config: Config) -> StudentSpec:
    """The student whose shape is searched for. Raises ConfigError for one there is not, and for paths that it lacks."""
    spec = search_spec(config)
    known = {student.name: student for student in config.students}
    if spec.student not in known:
        near = difflib.get_close_matches(spec.student, known, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
        raise ConfigError(f"architecture.student: no student is named {spec.student!r}; {hint}")
    for path in spec.parameters:
        if path.partition(".")[0] in _FIXED:
            raise ConfigError(f"architecture.parameters.{path}: this is what a shape is known by, and cannot be tried")
        try:
            check_path(known[spec.student], path)
        except ValueError as error:
            raise ConfigError(f"architecture.parameters.{error}") from None
    return known[spec.student]


def settings_of(config: Config) -> dict[str, Any]:
    """What a study depends on: other settings mean another study. How many trials there are may grow."""
    spec, student = search_spec(config), searched_student(config)
    return {
        "architecture": spec.model_dump(mode="json", exclude={"trials"}),
        "student": student.model_dump(mode="json"),
        "train": config.train.model_dump(mode="json", include={"steps", "batch_size", "labelled", "window", "seeds"}),
        "primary": config.evaluate.primary_figure,
    }
