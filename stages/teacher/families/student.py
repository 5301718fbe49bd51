"""A trained student of this project as a teacher. How one is loaded is known in `stages/generation` alone, which is
asked by name, as a module of the user's own is: this room does not know students.
"""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ....cache.spec import SignalSpec
from ....data import Source, ViewPolicy
from ..inputs.prepare import Prepare
from ..spec import TeacherSpec
from .adapter import Adapter

_ROOM = __name__.rpartition(".teacher.")[0] + ".generation"


def open_student(spec: TeacherSpec, folder: Path, signals: Mapping[str, SignalSpec], device: torch.device) -> Adapter:
    """Load the student of a trial's folder. Raises StageError for outputs that it has not."""
    teacher: Adapter = _room("teacher").StudentTeacher(spec, folder, signals, device)
    return teacher


def student_inputs(spec: TeacherSpec, folder: Path, source: Source, policy: ViewPolicy) -> Prepare:
    """Its own inputs. Raises StageError when the source or the views are not as in its training."""
    prepare: Prepare = _room("inputs").student_inputs(spec, folder, source, policy)
    return prepare


def student_folder(spec: TeacherSpec) -> Path:
    """The trial's folder. Raises StageError when it holds no finished student."""
    folder: Path = _room("graduate").student_folder(spec)
    return folder


def student_fingerprint(spec: TeacherSpec, folder: Path) -> dict[str, Any]:
    """Its weights, its form and its inputs, as JSON."""
    fingerprint: dict[str, Any] = _room("graduate").student_fingerprint(spec, folder)
    return fingerprint


def student_points(spec: TeacherSpec) -> list[str]:
    """Its outputs by name."""
    points: list[str] = _room("graduate").student_points(spec)
    return points


def _room(file: str) -> Any:
    return importlib.import_module(f"{_ROOM}.{file}")
