"""What a student is before it is trained: size, work of a forward pass, outputs, and the signals within its reach."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from ...cache import SignalSchema
from ..capture.attention import attention_modules
from ..errors import StageError
from ..student.inputs.shape import blank_inputs
from ..student.models.builders import StudentShape, build_student, output_shapes
from ..student.models.transformers_student import OUTPUTS, TransformersStudent
from ..student.spec import StudentSpec
from .learnable import Learnable, learnable_signals
from .measuring.macs import multiply_accumulates
from .measuring.size import model_size

_PARTS = ("", "vision.", "text.")


@dataclass(frozen=True, slots=True)
class DescribedStudent:
    """`parameters` and those `without_embeddings`; `macs` of one row; {output: shape of a row} of every output that it
    can give; `fresh`, weights that begin at random in a student that is cut from another model."""

    name: str
    use: str
    model: str
    parameters: int
    without_embeddings: int
    macs: int
    outputs: Mapping[str, tuple[int, ...]]
    signals: tuple[Learnable, ...]
    fresh: tuple[str, ...]


def describe_student(
    spec: StudentSpec, shape: StudentShape, outputs: tuple[str, ...], signals: Mapping[str, SignalSchema]
) -> DescribedStudent:
    """Build the student and send one blank row through it, texts and sequences as long as they may be.

    `outputs` are those that its objective and evaluation name. Raises StageError for a student that cannot be built.
    """
    shape = shape.completed(spec)
    student = build_student(spec, shape, outputs, 0)
    size, found = model_size(student), _all_outputs(student, spec, shape)
    macs = multiply_accumulates(student, blank_inputs(shape.inputs, 1))
    model = type(getattr(student, "model", student)).__name__
    fresh, near = getattr(student, "fresh", ()), learnable_signals(signals, found)
    return DescribedStudent(spec.name, spec.use, model, size.total, size.without_embeddings, macs, found, near, fresh)


def _all_outputs(student: nn.Module, spec: StudentSpec, shape: StudentShape) -> dict[str, tuple[int, ...]]:
    """What a student gives; of a model of transformers, what it gives when it is asked."""
    found = output_shapes(student, spec, shape)
    if not isinstance(student, TransformersStudent):
        return found
    for points in _groups(student.model):
        try:
            asked = TransformersStudent(student.model, points, shape.inputs)
            found |= output_shapes(asked, spec, shape)
        except StageError:  # a group that this model has not
            continue
    return found


def _groups(model: Any) -> Iterator[list[str]]:
    """Points that a model has all of, or none."""
    yield from (["logits"], ["embedding"], *([name] for name in OUTPUTS))
    for part in _PARTS:
        config = getattr(model.config, f"{part[:-1]}_config", None) if part else model.config
        count = getattr(config, "num_hidden_layers", None) or len(getattr(config, "depths", ()) or ())
        count = count or len(attention_modules(model))
        yield [f"{part}hidden.{number}" for number in range(count + 1)]
        yield [f"{part}attention.{number}" for number in range(count)]
