"""A finished student's folder, read as a teacher's: where it is, what it gives, and what decides its numbers.

It refuses a folder that holds no finished student.
"""

import inspect
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import xxhash

from ..errors import StageError
from ..importable import import_callable
from ..student.files.durable_files import read_json
from ..student.files.saved import SavedStudent, is_saved, load_student, read_student
from ..student.inputs.spec import InputSource
from ..student.models.builders import output_shapes
from ..student.models.transformers_student import TransformersStudent
from ..teacher.spec import TeacherSpec

_WEIGHTS, _CHUNK = "student.safetensors", 1 << 22


def student_folder(spec: TeacherSpec) -> Path:
    """The folder of the trial. Raises StageError when it holds no finished student, naming those below it."""
    folder = Path(str(spec.student))
    if is_saved(folder):
        return folder
    below = sorted(found.parent for found in folder.glob("*/*/student.json")) if folder.is_dir() else []
    hint = (
        f"it holds {', '.join(map(str, below[:4]))}: name one of them"
        if below
        else "name the folder of a trained student, such as runs/demo/students/cnn/distilled/seed-0"
    )
    raise StageError(f"teacher.student: {folder} holds no finished student (there is no student.json); {hint}")


def student_fingerprint(spec: TeacherSpec, folder: Path) -> dict[str, Any]:
    """What decides the numbers of a student: its weights, its form, how it sees the samples, precision. No path of this
    machine is part of it, and neither are the student's name, its arm and its seed."""
    saved = read_student(folder)
    return {
        "family": "student",
        "weights": _hash(folder / _WEIGHTS),
        "form": _form(saved, folder),
        "inputs": {name: _source(source) for name, source in saved.student.takes.items()},
        "shape": {**asdict(saved.shape), "teacher": None, "inputs": _shapes(saved)},
        "dtype": spec.dtype,
        "autocast": spec.autocast,
    }


def student_points(spec: TeacherSpec) -> list[str]:
    """The outputs by name: of a student of transformers those that it was trained with, though it has more."""
    folder = student_folder(spec)
    saved, student = read_student(folder), load_student(folder)
    if isinstance(student, TransformersStudent):
        return list(saved.outputs)
    return list(output_shapes(student, saved.student, saved.shape))


def _form(saved: SavedStudent, folder: Path) -> dict[str, Any]:
    """How it is built: by transformers from the configuration that lies beside it, or by `use` and `args`."""
    config = read_json(folder / "hf" / "config.json")
    if config is not None:
        return {"config": {key: value for key, value in config.items() if key != "transformers_version"}}
    student = saved.student
    code = {"code": _hash(_source_file(student.use))} if ":" in student.use else {}
    return {"use": student.use, "args": dict(student.args), **code}


def _source_file(use: str) -> Path:
    try:
        return Path(inspect.getfile(import_callable(use)))
    except TypeError as error:
        raise StageError(f"teacher.student: {use} has no source file: name a function or class of Python") from error


def _source(source: InputSource) -> dict[str, Any]:
    """The tokenizer's place says nothing: its hash stands in the shapes."""
    return source.model_dump(mode="json", exclude={"tokenizer"})


def _shapes(saved: SavedStudent) -> Mapping[str, Any]:
    return {
        name: {**asdict(shape), "shape": list(shape.shape)}
        for name, shape in saved.shape.completed(saved.student).inputs.items()
    }


def _hash(path: Path) -> str:
    state = xxhash.xxh3_128()
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                state.update(chunk)
    except OSError as error:
        raise StageError(f"teacher.student: {path} cannot be read ({error.strerror})") from error
    return state.hexdigest()
