"""A trained student, loaded and heard at its own outputs.

It refuses outputs that the student has not, and those of tokens, whose padding nobody could tell from what is real.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...cache.spec import SignalSpec
from ..capture.points import nearest
from ..errors import StageError
from ..student.files.saved import SavedStudent, load_student, read_student
from ..student.inputs.shape import InputShape, blank_inputs
from ..student.models.transformers_student import TransformersStudent
from ..teacher.families.hearing import Hearing
from ..teacher.families.loading import DTYPES, heard_only
from ..teacher.signals.signal_schema import Heard
from ..teacher.spec import TeacherSpec


class StudentTeacher:
    """A student that teaches; an `Adapter`. Its points are the names of its outputs."""

    def __init__(
        self, spec: TeacherSpec, folder: Path, signals: Mapping[str, SignalSpec], device: torch.device
    ) -> None:
        saved, points = read_student(folder), {name: signal.point or name for name, signal in signals.items()}
        self.device, self._dtype, self._classes = device, DTYPES[spec.dtype], saved.shape.classes
        asked = tuple(dict.fromkeys(points.values()))
        student = load_student(folder, asked or None)
        _check_outputs(student, saved, points)
        self.model = heard_only(student.to(self._dtype), device)
        self._hearing = Hearing(self.model, signals, device, spec.autocast, given=asked, whole=False)

    @property
    def config(self) -> Any:
        return self.model.model.config if isinstance(self.model, TransformersStudent) else None

    def __call__(self, inputs: Mapping[str, Tensor]) -> dict[str, Heard]:
        """Called as in training: with `inputs` by name, each (B, ...), numbers with a point in the teacher's dtype."""
        given = {name: x.to(self._dtype) if x.is_floating_point() else x for name, x in inputs.items()}
        return self._hearing.run(len(next(iter(given.values()))), lambda: self.model(given))

    def facts(self) -> dict[str, Any]:
        return self._hearing.facts()

    def classes(self) -> tuple[str, ...]:
        """Numbers: a student's folder has no names for its classes."""
        return tuple(map(str, range(self._classes)))

    def constants(self) -> Mapping[str, Tensor]:
        return {}

    def close(self) -> None:
        self._hearing.close()


def _check_outputs(student: nn.Module, saved: SavedStudent, points: Mapping[str, str]) -> None:
    """Raise StageError for a signal that the student does not give, or gives for each token."""
    shapes = saved.shape.completed(saved.student).inputs
    longest, shortest = (_shapes(student, shapes, places) for places in (None, 2))
    for signal, point in points.items():
        if point not in longest:
            raise StageError(
                f"cache.signals.{signal}: student {saved.student.name} has no output {point!r}"
                f"{nearest(point, longest)}; it has {', '.join(longest)}"
            )
        if longest[point] != shortest[point]:
            raise StageError(
                f"cache.signals.{signal}: output {point!r} of student {saved.student.name} has a value for each token, "
                "and a student can teach what has one shape for all samples, such as logits"
            )


def _shapes(student: nn.Module, shapes: Mapping[str, InputShape], places: int | None) -> dict[str, tuple[int, ...]]:
    """{output: shape of one row} of blank inputs; texts and sequences are cut to `places`, or as long as may be."""
    inputs = {name: _cut(x, shapes[name], places) for name, x in blank_inputs(shapes, 2).items()}
    with torch.no_grad():
        return {name: tuple(values.shape[1:]) for name, values in student(inputs).items()}


def _cut(blank: Tensor, shape: InputShape, places: int | None) -> Tensor:
    if places is None:
        return blank
    if shape.kind == "lengths":
        return blank.clamp(max=places)
    axes = tuple(slice(None) if side is not None else slice(places) for side in shape.shape)
    return blank[(slice(None), *axes)]
