"""The finished student: its weights as safetensors, and what is needed to build it again. Nothing is pickled.

`student.json` is written last: where it is, the student is finished.
"""

import errno
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from ...errors import StageError
from ..inputs.shape import InputShape
from ..models.builders import StudentShape, build_student
from ..models.cutting.student import rebuild_student
from ..models.transformers_student import TransformersStudent
from ..pruning.picks import fit
from ..spec import Arm, StudentSpec
from ..trial.randomness import seeded
from ..trial.trial import Trial
from .checkpoint import tensor_bytes
from .durable_files import read_json, write_errors, write_json, write_whole
from .trained import as_itself

_WEIGHTS, _DOCUMENT = "student.safetensors", "student.json"
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class SavedStudent:
    """What `student.json` says: how the student was built, on what it was trained, and what it returns; `pruned` are
    the shapes of the tensors that have less than as it was built."""

    student: StudentSpec
    shape: StudentShape
    outputs: tuple[str, ...]
    arm: Arm
    seed: int
    steps: int
    seconds: float
    pruned: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


def save_student(
    folder: Path,
    trial: Trial,
    student: nn.Module,
    shape: StudentShape,
    steps: int,
    seconds: float,
    pruned: Mapping[str, tuple[int, ...]] | None = None,
) -> None:
    """Write a finished student into its trial's folder. Raises StageFailed when the disk does not take it."""
    write_whole(folder / _WEIGHTS, tensor_bytes(student.state_dict()))
    if isinstance(student, TransformersStudent):
        _save_model(student, folder)
    built, before = as_itself(trial.student)
    pruned = before | dict(pruned or {})
    content = {
        "format": _FORMAT,
        "student": built.model_dump(mode="json"),
        "shape": asdict(shape),
        "outputs": list(trial.outputs),
        "arm": trial.arm,
        "seed": trial.seed,
        "steps": steps,
        "seconds": seconds,
        **({"pruned": pruned} if pruned else {}),
    }
    write_json(folder / _DOCUMENT, content)


def _save_model(student: TransformersStudent, folder: Path) -> None:
    """What `from_pretrained` reads, as `hf`: whole or not at all."""
    temporary = folder / f".hf.{uuid4().hex[:12]}.tmp"
    with write_errors(folder / "hf"), _no_progress_bar():
        try:
            student.model.save_pretrained(temporary)
            shutil.rmtree(folder / "hf", ignore_errors=True)
            try:
                os.rename(temporary, folder / "hf")
            except OSError as error:  # another run of this trial, in this moment: its model is the same
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def is_saved(folder: Path) -> bool:
    """Whether a folder holds a finished student."""
    return (folder / _DOCUMENT).exists()


def read_student(folder: Path) -> SavedStudent:
    """What `student.json` in `folder` says. Raises StageError when there is none or it cannot be read."""
    content = read_json(folder / _DOCUMENT)
    if content is None:
        raise StageError(f"{folder} holds no finished student (it has no {_DOCUMENT}); `teachercache train` makes one")
    if content.get("format") != _FORMAT:
        raise StageError(
            f"{folder / _DOCUMENT} is of format {content.get('format')}, and this version reads {_FORMAT}: load it "
            "with the version that trained it, or train it again"
        )
    try:
        return SavedStudent(
            StudentSpec.model_validate(content["student"]),
            _shape(content["shape"]),
            tuple(content["outputs"]),
            content["arm"],
            content["seed"],
            content["steps"],
            content["seconds"],
            {name: tuple(shape) for name, shape in content.get("pruned", {}).items()},
        )
    except (KeyError, TypeError, ValidationError) as error:
        raise StageError(f"{folder / _DOCUMENT} cannot be read by this version ({error})") from error


def _shape(content: Mapping[str, Any]) -> StudentShape:
    """Of students from before there were texts and arrays, the image alone was noted."""
    inputs = {name: InputShape.of(found) for name, found in content.get("inputs", {}).items()}
    return StudentShape(**{**content, "inputs": inputs})


def load_student(folder: Path, outputs: tuple[str, ...] | None = None) -> nn.Module:
    """The finished student of a trial's folder, on the CPU and in evaluation mode.

    forward({input: Tensor}) -> {output: Tensor}. It returns what it was trained to return, or `outputs` (a
    transformers student that returns `logits` alone listens to nothing). Raises StageError when it cannot be built or
    its weights do not fit.
    """
    saved = read_student(folder)
    student = _untrained(saved, folder, saved.outputs if outputs is None else outputs)
    try:
        student.load_state_dict(load_file(folder / _WEIGHTS))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise StageError(f"{folder / _WEIGHTS} does not hold the weights of this student: {error}") from error
    return student.eval()


def _untrained(saved: SavedStudent, folder: Path, outputs: tuple[str, ...]) -> nn.Module:
    """The student as it was built. A model of transformers is of the form that its own folder says: what it was cut
    from is not needed again, and other outputs do not make another model of it."""
    if not (folder / "hf" / "config.json").is_file():
        student = build_student(saved.student, saved.shape, outputs, saved.seed)
        fit(student, saved.pruned)
        return student
    with seeded(saved.seed):  # its first weights are written over
        return rebuild_student(folder / "hf", outputs, saved.shape.completed(saved.student).inputs)


@contextmanager
def _no_progress_bar() -> Iterator[None]:
    """transformers draws a bar for each file it saves; a fleet would draw one per trial."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
