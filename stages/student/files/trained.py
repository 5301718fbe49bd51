"""A student that begins as a finished one: `use: trained:<folder of a trial>`, of any kind and pruned ones too.

It sees and says what that student saw and said. What it is saved as needs that folder no more.
"""

from collections.abc import Collection, Mapping
from pathlib import Path

from torch import nn

from ...errors import StageError
from ..models.cutting.origin import fingerprint_of
from ..spec import StudentSpec

PREFIX = "trained:"
_FILES = ("student.json", "student.safetensors")


def trained_folder(spec: StudentSpec) -> Path | None:
    """The folder of the finished student that this one begins as; None for any other."""
    return Path(spec.use.removeprefix(PREFIX)) if spec.use.startswith(PREFIX) else None


def trained_fingerprint(folder: Path) -> str:
    """What the finished student is known by. Raises StageError where there is none."""
    _require(folder)
    return fingerprint_of([folder / name for name in _FILES])


def begin_trained(
    spec: StudentSpec, folder: Path, outputs: Collection[str], classes: int, inputs: Mapping[str, object]
) -> nn.Module:
    """The finished student, which returns `outputs`. Raises StageError for another number of classes or other inputs
    than it was trained with, and for settings that are its own to say."""
    from .saved import load_student, read_student  # they build students, and so know this file

    _require(folder)
    for word in ("args", "task", "init"):
        if getattr(spec, word):
            raise StageError(f"{word}: the student in {folder} is what it is; leave {word} out")
    saved = read_student(folder)
    seen = saved.shape.completed(saved.student).inputs
    if saved.shape.classes != classes:
        raise StageError(
            f"use: the student in {folder} tells {saved.shape.classes} classes apart, and there are {classes}"
        )
    for name in sorted(set(seen) | set(inputs)):
        if seen.get(name) != inputs.get(name):
            raise StageError(
                f"inputs.{name}: the student in {folder} was trained on {seen.get(name)}, and not {inputs.get(name)}"
            )
    return load_student(folder, tuple(sorted(outputs)))


def as_itself(spec: StudentSpec) -> tuple[StudentSpec, dict[str, tuple[int, ...]]]:
    """How a student is built without the folder that it began as, and the shapes of what was pruned of that one."""
    from .saved import read_student

    folder = trained_folder(spec)
    if folder is None:
        return spec, {}
    saved = read_student(folder)
    same = {name: getattr(saved.student, name) for name in ("use", "args", "task", "init")}
    return spec.model_copy(update=same), dict(saved.pruned)


def _require(folder: Path) -> None:
    if not all((folder / name).is_file() for name in _FILES):
        raise StageError(
            f"use: {folder} holds no finished student; name the folder of a trial, such as "
            "runs/demo/students/cnn/distilled/seed-0"
        )
