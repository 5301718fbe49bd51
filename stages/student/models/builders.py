"""Builds a student from its settings: a small one that is built in, a model of transformers, or the user's own module.

A student is any nn.Module with forward({input: Tensor (B, ...)}) -> {output: Tensor (B, ...)}; what its inputs are,
the settings say (`StudentSpec.takes`), and StudentShape.inputs says how they look.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...capture import evaluating
from ...capture.points import nearest
from ...errors import StageError
from ...importable import bind_arguments, call_builder, import_callable
from ..files.trained import begin_trained, trained_fingerprint, trained_folder
from ..inputs.shape import InputShape, blank_inputs, image_shape
from ..spec import StudentSpec
from ..trial.randomness import derive_seed, seeded
from .cnn import build_cnn
from .cutting.origin import Origin
from .cutting.student import build_cut_student
from .small.clip_conv_lstm import build_clip_conv_lstm
from .small.lstm import build_lstm
from .small.multimodal_builder import build_multimodal
from .small.slices import build_slices
from .transformers_student import build_transformers_student

_PREFIX, _PRETRAINED = "transformers:", "pretrained:"
BUILT_IN: dict[str, Callable[..., nn.Module]] = {
    "cnn": build_cnn,
    "clip-conv-lstm": build_clip_conv_lstm,
    "slices": build_slices,
    "lstm": build_lstm,
    "multimodal": build_multimodal,
    "teacher": build_cut_student,
}


@dataclass(frozen=True, slots=True)
class StudentShape:
    """What a student takes and gives: `classes` logits, views of `channels` channels and `size` pixels a side, and each
    tensor that its forward gets, by name. Without `inputs`, images alone are known. `teacher` is the folder of the
    teacher's files, for students that are cut from it."""

    classes: int
    channels: int
    size: int
    inputs: Mapping[str, InputShape] = field(default_factory=dict)
    teacher: str | None = None

    def completed(self, spec: StudentSpec) -> "StudentShape":
        """The same with every input of a student. Raises StageError for a text or an array whose shape is not known."""
        found = dict(self.inputs)
        for name, source in spec.takes.items():
            if source.image is not None:
                found[name] = image_shape(source.image, self.channels, self.size)
            elif name not in found:
                raise StageError(f"inputs.{name}: nobody has said how it looks; it is known where there is a source")
        return replace(self, inputs=found)


def build_student(spec: StudentSpec, shape: StudentShape, outputs: Iterable[str], seed: int) -> nn.Module:
    """A new student on the CPU that returns `outputs`.

    The weights depend on `seed` alone, and the global generator is left as it was. Raises StageError, naming the
    student, for settings it cannot be built from and outputs it does not have.
    """
    wanted = frozenset(outputs)
    try:
        shape = shape.completed(spec)
        with seeded(derive_seed("student", seed)):
            student = _build(spec, shape, wanted)
        _check_outputs(student, output_shapes(student, spec, shape), shape, wanted)
    except StageError as error:
        raise StageError(f"students.{spec.name}: {error}") from error
    return student


def check_arguments(spec: StudentSpec, shape: StudentShape) -> None:
    """Hold the arguments of a callable against its signature, the user's own or a built-in one; nothing is built."""
    try:
        _check_settings(spec)
        if spec.use.startswith(_PREFIX) or trained_folder(spec) is not None:
            return
        offered = {**_offered(spec, shape, frozenset()), "task": None, "init": None}
        bind_arguments(_callable(spec), spec.use, spec.args, offered)
    except StageError as error:
        raise StageError(f"students.{spec.name}: {error}") from error


def origin_fingerprint(spec: StudentSpec, shape: StudentShape) -> str | None:
    """What the files are known by that a student is cut from, or begins with; None for one that begins at random."""
    if (trained := trained_folder(spec)) is not None:
        return trained_fingerprint(trained)
    folder = _origin(spec, shape)
    return None if folder is None else Origin(Path(folder)).fingerprint


def output_shapes(student: nn.Module, spec: StudentSpec, shape: StudentShape) -> dict[str, tuple[int, ...]]:
    """{output: shape of one row}, from one forward pass of two blank rows, texts and sequences as long as they may be.
    Mode and statistics stay as they were."""
    device = next((p.device for p in student.parameters()), torch.device("cpu"))
    with evaluating(student), torch.no_grad():
        outputs = _run(student, blank_inputs(shape.completed(spec).inputs, 2, device))
    return {name: tuple(values.shape[1:]) for name, values in outputs.items()}


def _build(spec: StudentSpec, shape: StudentShape, outputs: frozenset[str]) -> nn.Module:
    _check_settings(spec)
    if (folder := trained_folder(spec)) is not None:
        return begin_trained(spec, folder, outputs, shape.classes, shape.inputs)
    if spec.use.startswith(_PREFIX):
        name = spec.use.removeprefix(_PREFIX)
        return build_transformers_student(name, spec.args, shape.inputs, shape.classes, outputs, spec.task)
    offered = _offered(spec, shape, outputs)
    if _is_cut(spec):
        offered |= {"task": spec.task, "init": spec.init or "from_teacher", "model": _origin(spec, shape)}
    return call_builder(_callable(spec), spec.use, spec.args, offered)


def _callable(spec: StudentSpec) -> Callable[..., Any]:
    """What builds a student that is no config class of transformers."""
    if spec.use in BUILT_IN or _is_cut(spec):
        return BUILT_IN[spec.use if spec.use in BUILT_IN else "teacher"]
    if ":" in spec.use:
        return import_callable(spec.use)
    raise StageError(
        f"use: {spec.use!r} is neither {', '.join(BUILT_IN)}, nor transformers:<ConfigClass>, nor pretrained:<folder>, "
        f"nor trained:<folder of a trial>, "
        f"nor package.module:callable{nearest(spec.use, BUILT_IN)}"
    )


def _is_cut(spec: StudentSpec) -> bool:
    return spec.use == "teacher" or spec.use.startswith(_PRETRAINED)


def _origin(spec: StudentSpec, shape: StudentShape) -> str | None:
    """The folder that a student is cut from; None for any other student."""
    if not _is_cut(spec):
        return None
    if spec.use.startswith(_PRETRAINED):
        return spec.use.removeprefix(_PRETRAINED)
    found = spec.args.get("model", shape.teacher)
    return None if found is None else str(found)


def _check_settings(spec: StudentSpec) -> None:
    """Settings that not every student takes."""
    if spec.init is not None and not _is_cut(spec):
        raise StageError(f"init: {spec.init} is for `use: teacher` and `use: pretrained:<folder>`")
    if spec.task is not None and not _is_cut(spec) and not spec.use.startswith(_PREFIX):
        raise StageError(f"task: a {spec.use} is no model of transformers, and has one task")


def _offered(spec: StudentSpec, shape: StudentShape, outputs: frozenset[str]) -> dict[str, Any]:
    """What the user's callable is given when it has parameters of these names."""
    given = {"classes": shape.classes, "channels": shape.channels, "size": _side(shape), "outputs": outputs}
    return {**given, "inputs": shape.inputs}


def _side(shape: StudentShape) -> int:
    """The side of the image that a student sees; the view's own where it sees none."""
    images = [found.shape[-1] for found in shape.inputs.values() if found.kind == "image"]
    return images[0] or shape.size if images else shape.size


def _run(student: nn.Module, inputs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    try:
        outputs = student(inputs)
    except StageError:
        raise
    except Exception as error:  # whatever a model raises for an input that does not suit it
        given = ", ".join(f"{name} {tuple(values.shape)}" for name, values in inputs.items())
        raise StageError(f"the student fails on {given} with {type(error).__name__}: {error}") from error
    if not isinstance(outputs, Mapping) or not all(isinstance(values, Tensor) for values in outputs.values()):
        raise StageError(f"a student returns a mapping from output to tensor, and this one {type(outputs).__name__}")
    return outputs


def _check_outputs(
    student: nn.Module, found: Mapping[str, tuple[int, ...]], shape: StudentShape, wanted: frozenset[str]
) -> None:
    missing = sorted(wanted - set(found))
    if missing:
        has = ", ".join(found) or "none"
        raise StageError(f"{type(student).__name__} returns no {', '.join(missing)}; its outputs are {has}")
    logits = found.get("logits", ())  # of a language model they are of every token, and no class is meant
    if shape.classes and len(logits) == 1 and logits != (shape.classes,):
        raise StageError(f"its logits are {logits} a row, and there are {shape.classes} classes")
